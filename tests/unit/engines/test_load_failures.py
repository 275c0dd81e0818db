"""Why vLLM did not start: the cause is found in the log of its processes, and what to do is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grm_plugin._util.own_output import OwnOutput
from grm_plugin.engines.load_failures import MOST_CHARS, cause_in, why_not_started

ABOVE = RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")


def logged(process: str, *lines: str, level: str = "ERROR") -> list[str]:
    """As vLLM 0.32 logs a traceback: every line with its process, its level and its place."""
    begin = [
        "failed to start.",
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in f',
        "    raise",
        "    ^",
    ]
    return [f"({process} pid=7) {level} 12-01 06:18:01 [core.py:1510] {line}" for line in (*begin, *lines)]


@contextmanager
def output_in(log: Path) -> Iterator[None]:
    """This process's output goes to a file, as in a Ray worker."""
    saved = os.dup(1), os.dup(2)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    try:
        yield
    finally:
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


NO_WEIGHTS = "RuntimeError: Cannot find any model weights with `/models/grm`"
OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has 79.25 GiB in all."
NCCL = "torch.distributed.DistBackendError: NCCL error in: a.cpp:94, unhandled system error"
WORKERS = "Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace"


def test_the_cause_is_what_vllm_logged() -> None:
    printed = ["Process EngineCore:", "Traceback (most recent call last):", '  File "x.py"', NO_WEIGHTS]
    assert cause_in("\n".join([*logged("EngineCore", NO_WEIGHTS), *printed])) == NO_WEIGHTS
    assert cause_in("\n".join(["some words", *printed])) == NO_WEIGHTS  # that process never came to log it


def test_of_a_chain_the_last_counts() -> None:
    chain = ["KeyError: 'x'", "", "During handling of the above exception, another exception occurred:", ""]
    log = logged("EngineCore", *chain, "Traceback (most recent call last):", "  File", "OSError: no such model")
    assert cause_in("\n".join(log)) == "OSError: no such model"


def test_of_several_processes_the_one_that_failed_counts_and_not_what_followed() -> None:
    log = [
        *logged("Worker_TP1", "RuntimeError: [gloo] Connection closed by peer [127.0.0.1]:1"),
        *logged("Worker_TP0", NCCL, "ncclSystemError: System call failed.", "Last error:", "shm_open failed"),
        *logged("EngineCore", WORKERS),
    ]
    mixed = [line for pair in zip(log[:6], log[6:12], strict=True) for line in pair] + log[12:]
    assert cause_in("\n".join(mixed)) == f"{NCCL} ncclSystemError: System call failed. Last error: shm_open failed"


def test_what_vllm_survived_is_no_cause() -> None:
    survived = logged("EngineCore", "ImportError: no module named flashy", level="WARNING")
    assert cause_in("\n".join(survived)) == ""
    assert cause_in("\n".join([*survived, *logged("EngineCore", "\x1b[31mValueError: no\x1b[0m")])) == "ValueError: no"


@pytest.mark.parametrize("log", ["", "Traceback (most recent call last):", "\n".join(logged("EngineCore", WORKERS))])
def test_a_log_without_a_cause(log: str) -> None:
    assert cause_in(log) == ""


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        (NO_WEIGHTS, "not downloaded whole"),
        (OUT_OF_MEMORY, "raise tensor_parallel_size"),
        ("ValueError: Free memory on device (9/79 GiB) on startup is less than desired", "nvidia-smi names it"),
        ("ValueError: No available memory for the cache blocks.", "raise gpu_memory_utilization"),
        ("ValueError: 7 GiB KV cache is needed, which is larger than the available KV cache", "lower max_model_len"),
        ("OSError: [Errno 28] No space left on device: '/dev/shm/psm_1'", "--shm-size=10g"),
        (NCCL, "NCCL_DEBUG=INFO"),
        ("InductorError: RuntimeError: Failed to find C compiler. Please specify via CC", "install gcc"),
        ("OSError: You are trying to access a gated repo.", "HF_TOKEN"),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "name its folder"),
        (
            "ValueError: The checkpoint has model type `new` but Transformers does not recognize this architecture",
            "may know",
        ),
    ],
)
def test_a_message_names_cause_log_and_what_to_do(cause: str, advice: str, tmp_path: Path) -> None:
    log = tmp_path / "worker.out"
    with output_in(log):
        output = OwnOutput()
        log.write_text("\n".join(logged("EngineCore", cause)))
        message = why_not_started("a/b", ABOVE, output)
    assert message.startswith(f"vLLM cannot start a/b: {cause}; ")
    assert advice in message
    assert message.endswith(f": {log})")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("code", "words"), [(-9, "out of memory"), (-7, "/dev/shm"), (-11, "segmentation"), (-6, "signal 6")]
)
def test_a_process_that_was_killed_left_no_words(code: int, words: str) -> None:
    error = RuntimeError(f"Engine core initialization failed. Failed core proc(s): {{'EngineCore': {code}}}")
    assert words in why_not_started("a/b", error, OwnOutput())


def test_an_error_of_this_process_is_its_own_cause() -> None:
    assert (
        why_not_started("a/b", ValueError("two\nlines"), OwnOutput()) == "vLLM cannot start a/b: ValueError: two lines"
    )
    assert len(why_not_started("a/b", ValueError("x" * 9999), OwnOutput())) < MOST_CHARS + 99
