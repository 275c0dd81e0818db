"""Why vLLM did not start, in one line. The cause stands in the log of a child process: vLLM itself says "see above"."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from grm_plugin._util.own_output import OwnOutput
from grm_plugin._util.text import one_line

MOST_CHARS = 600
"""Of a cause. Some errors bring a page along."""

_ELSEWHERE = re.compile(
    r"Engine core initialization failed|See root cause above|See stack trace|EngineDeadError|in a background process"
)
"""Errors that point to another one."""

_CONSEQUENCE = re.compile(
    r"Connection closed by peer|Connection reset by peer|Broken ?pipe|remote process exited|EOFError|CancelledError",
    re.I,
)
"""What the other processes of a tensor parallel model say when one of them has failed."""

_DIED = re.compile(r"Failed core proc\(s\): \{[^}]*?: (-?\d+)")

_SIGNALS = {
    -7: "by a bus error: there is too little shared memory (/dev/shm)",
    -9: "by signal 9: the machine was out of memory (not the GPU), or somebody killed it",
    -11: "by a segmentation fault",
}

_ADVICE = (
    (
        r"Cannot find any model weights|no file named .*(safetensors|bin)|[Hh]eader ?[Tt]oo|deserializing header",
        "the weights are missing or not downloaded whole: compare the folder with the model's page",
    ),
    (
        r"gated repo|GatedRepo|401 Client Error|403 Client Error|is not a valid model identifier",
        "accept the model's terms on its page and set HF_TOKEN, on a cluster of nodes before `ray start` on each "
        "of them; or check the name",
    ),
    (
        r"couldn.t connect to|LocalEntryNotFound|offline mode|[Nn]etwork is unreachable|Name or service not known",
        "there is no way to the hub from that node: download the model and name its folder",
    ),
    (
        r"Free memory on device .* is less than",
        "another process uses this GPU: free it (nvidia-smi names it), or lower gpu_memory_utilization",
    ),
    (
        r"No available memory for the cache blocks|is larger than the available KV cache|KV cache is needed",
        "raise gpu_memory_utilization or tensor_parallel_size, or lower max_model_len",
    ),
    (
        r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory",
        "raise tensor_parallel_size, or lower gpu_memory_utilization, max_model_len or engine_args max_num_seqs; "
        "nvidia-smi names other processes on the GPU",
    ),
    (
        r"Errno 28|No space left on device|/dev/shm|[Bb]us error",
        "a container needs more shared memory: docker run --shm-size=10g, in Kubernetes an emptyDir of medium Memory "
        "at /dev/shm; or the disk is full",
    ),
    (
        r"NCCL|ncclSystemError|ProcessGroup",
        "set NCCL_DEBUG=INFO to see why GPUs cannot reach each other; NCCL_P2P_DISABLE=1 or NCCL_SOCKET_IFNAME help "
        "on some machines",
    ),
    (
        r"[Ff]ailed to find C compiler|C compiler|gcc.*(not found|No such file)|g\+\+.*No such file|Python\.h",
        "Triton compiles kernels when a model loads: install gcc and the headers of Python (apt-get install gcc "
        "python3-dev), or set CC",
    ),
    (
        r"no kernel image is available|driver version is insufficient|NVIDIA driver on your system is too old",
        "this vLLM was built for another GPU or a newer driver: update the driver, or install the build of its CUDA",
    ),
    (
        r"model type .* does not recognize|does not recognize this architecture|are not supported for now|"
        r"trust_remote_code",
        "another version of vLLM and transformers may know this model; with trust_remote_code: true its own code runs",
    ),
)
"""Of a cause: what to do. The first that fits counts."""


@dataclass(frozen=True, slots=True)
class _Raised:
    text: str
    logged: bool
    """By vLLM, which logs what ends a process, and not only printed by Python."""


def why_not_started(model: str, error: BaseException, output: OwnOutput) -> str:
    """A message for the error with which vLLM's start has ended.

    Args:
        model: what was to be loaded.
        error: what vLLM raised.
        output: reads what this process and vLLM's have written since the start began.
    """
    said = f"{type(error).__name__}: {one_line(str(error))}"
    cause = said
    if _ELSEWHERE.search(said):
        cause = cause_in(output.read()) or _death(said) or said
    message = f"vLLM cannot start {model}: {cause[:MOST_CHARS]}"
    if advice := next((what for pattern, what in _ADVICE if re.search(pattern, cause)), ""):
        message += f"; {advice}"
    return message + place_of_log(output) if _ELSEWHERE.search(said) else message


def place_of_log(output: OwnOutput) -> str:
    """Where the words of vLLM's processes are: to be put behind an error that points "above"."""
    where = " and ".join(output.paths)
    return f" (log on {socket.gethostname()}: {where})" if where else " (see the output above)"


def cause_in(log: str) -> str:
    """The error in a log of vLLM's processes from which the others follow; empty if there is none."""
    raised = [found for found in _tracebacks(log) if not _ELSEWHERE.search(found.text)]
    logged = [found.text for found in raised if found.logged]
    causes = [text for text in logged if not _CONSEQUENCE.search(text)] or logged
    if causes:
        return causes[0]
    # Printed ones need not have ended anything; the last has.
    return raised[-1].text if raised else ""


def _death(said: str) -> str:
    found = _DIED.search(said)
    code = int(found[1]) if found else 0
    if code >= 0:
        return ""
    return f"the process of the model was ended {_SIGNALS.get(code, f'by signal {-code}')}"


_LINE = re.compile(
    r"^(?P<process>\([^()\n]* pid=\d+\) ?)?(?:(?P<level>[A-Z]+) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]\n]*\] ?)?(?P<text>.*)$"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BEGIN = "Traceback (most recent call last):"
_LINKED = ("The above exception was the direct cause", "During handling of the above exception")
MOST_LINES = 6
"""Of an error's message."""


def _tracebacks(log: str) -> Iterator[_Raised]:
    """The errors whose tracebacks stand in a log, in order; of those that were raised from one another, the last."""
    by_source: dict[tuple[str, bool], list[str]] = {}
    for line in _COLOUR.sub("", log).splitlines():
        found = _LINE.match(line)
        assert found is not None  # it matches every line
        level = found["level"]
        if level in (None, "ERROR", "CRITICAL"):
            by_source.setdefault((found["process"] or "", level is not None), []).append(found["text"])
    for (_, logged), lines in by_source.items():
        for text in _chains(lines):
            yield _Raised(text, logged)


def _chains(lines: list[str]) -> Iterator[str]:
    last, linked = "", False
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line.startswith(_LINKED):
            linked = True
        if line != _BEGIN:
            continue
        while position < len(lines) and (not lines[position] or lines[position][0].isspace()):
            position += 1
        message: list[str] = []
        while position < len(lines) and len(message) < MOST_LINES and _belongs(lines[position]):
            message.append(lines[position])
            position += 1
        if last and not linked:
            yield last
        last, linked = one_line(" ".join(message)), False
    if last:
        yield last


def _belongs(line: str) -> bool:
    return bool(line.strip()) and line != _BEGIN and not line.startswith(("Process ", *_LINKED))
