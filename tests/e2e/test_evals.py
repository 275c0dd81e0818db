"""`grm-plugin eval` as a process: killed and resumed, and with the nano GRM and its meta RM on vLLM."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grm_plugin.batch.items import Item, write_items
from grm_plugin.types import Message
from support.paths import ROOT
from support.score_files import read_rows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]

NANO = ROOT / "configs" / "nano_cpu_meta_rm.yaml"
COMMAND = [sys.executable, "-c", "from grm_plugin.cli.app import main; main()", "eval", "--suite", "jsonl"]


def test_a_killed_run_loses_what_was_in_flight_and_nothing_else(tmp_path: Path) -> None:
    items = [Item(f"{n}", (Message("user", "Which?"),), ("a b c d e f", "a"), (0,)) for n in range(60)]
    write_items(tmp_path / "items.jsonl", items)
    config = tmp_path / "config.yaml"
    config.write_text("engine: {type: fake, delay_s: 0.3}\n")
    out = tmp_path / "out"
    command = [*COMMAND, "-c", str(config), "--data", str(tmp_path / "items.jsonl"), "-o", str(out), "--k", "4"]
    running = subprocess.Popen([*command, "--concurrency", "2"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 120
        while not (out / "votes.jsonl").exists() or (out / "votes.jsonl").read_bytes().count(b"\n") < 6:
            assert running.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < give_up, "no votes came"
            time.sleep(0.02)
    finally:
        os.kill(running.pid, signal.SIGKILL)
        running.wait(30)
    before = (out / "votes.jsonl").read_bytes()
    whole = before[: before.rfind(b"\n") + 1]
    assert 6 <= whole.count(b"\n") < 60

    done = subprocess.run([*command, "--grm.engine.delay_s", "0"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"60 of 60 items with votes ({whole.count(bytes([10])) - 1} from before)" in done.stderr
    assert (out / "votes.jsonl").read_bytes().startswith(whole)
    rows = read_rows(out / "votes.jsonl")[1:]
    assert sorted(row["item"]["id"] for row in rows) == sorted(item.id for item in items)


def test_the_nano_grm_and_its_meta_rm(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    items = [
        nano_item(
            "Name 3 fruits, use plus signs. Variety matters most.", "plum + fig + pear. Enjoy!", "plum + plum + plum."
        ),
        nano_item("List 2 animals, use commas.", "cow, dog. Enjoy!", "plum / fig / pear / plum"),
        Item("long", (Message("user", "What is the meaning of all this? " * 200),), ("yes", "no"), (0,)),
    ]
    write_items(tmp_path / "items.jsonl", items)
    out = tmp_path / "out"
    command = [
        *COMMAND,
        "-c",
        str(NANO),
        "--data",
        str(tmp_path / "items.jsonl"),
        "-o",
        str(out),
        "--k",
        "8",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=450)
    assert done.returncode == 0, done.stderr[-3000:]

    report = json.loads((out / "report.json").read_text())
    assert [row["method"] for row in report["rows"] if row["subset"] == ""][-1] == "meta@8"
    assert report["conduct"]["lost"]["too_long"] == 8
    assert report["conduct"]["unvoted"] == 1
    votes = [vote for row in read_rows(out / "votes.jsonl")[1:] if row["item"]["id"] != "long" for vote in row["votes"]]
    parsed = [vote for vote in votes if vote["scores"] is not None]
    assert len(parsed) >= 0.8 * len(votes)
    assert all(isinstance(vote["meta"], float) and vote["tokens"] > 0 and vote["text"] for vote in parsed)


def nano_item(prompt: str, good: str, bad: str) -> Item:
    return Item(prompt, (Message("user", prompt),), (bad, good), (1,), meta={"source": "by hand"})


def test_a_scalar_reward_model_without_a_yaml_file(tmp_path: Path) -> None:
    """The meta RM's weights rate responses: no good baseline, but the real path to a raw logit."""
    pytest.importorskip("vllm")
    items = [nano_item(f"Name {n} fruits.", "plum, fig. Enjoy!", "cat" + " cat" * n) for n in range(2, 6)]
    items.append(Item("long", (Message("user", "Which?"),), ("plum, fig. " * 1_000, "no"), (0,)))
    write_items(tmp_path / "items.jsonl", items)
    out = tmp_path / "out"
    weights = ROOT / "examples" / "nano" / "models" / "meta_rm"
    command = [*COMMAND, "--scalar", "--data", str(tmp_path / "items.jsonl"), "-o", str(out)]
    done = subprocess.run([*command, "--model", str(weights)], capture_output=True, text=True, timeout=450)
    assert done.returncode == 0, done.stderr[-3000:]
    first, *rows = read_rows(out / "votes.jsonl")
    assert (first["judge"], first["model"], first["k"]) == ("scalar", "meta_rm", 1)
    votes = {row["item"]["id"]: row["votes"] for row in rows}
    (lost,) = votes.pop("long")
    assert (lost["scores"], lost["reason"]) == (None, "too_long")
    assert "raise engine.max_model_len" in lost["detail"]
    logits = [logit for (vote,) in votes.values() for logit in vote["scores"]]
    assert len(set(logits)) > 4
    assert not all(0 <= logit <= 1 for logit in logits), "a sigmoid has been put on the logits"


def test_a_scalar_reward_model_with_three_labels_is_refused_by_the_option_that_named_it(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    weights = tmp_path / "three"
    shutil.copytree(ROOT / "examples" / "nano" / "models" / "meta_rm", weights)
    settings = json.loads((weights / "config.json").read_text())
    labels = {str(n): f"LABEL_{n}" for n in range(3)}
    settings |= {"id2label": labels, "label2id": {name: int(n) for n, name in labels.items()}}
    (weights / "config.json").write_text(json.dumps(settings))
    write_items(tmp_path / "items.jsonl", [nano_item("Name 2 fruits.", "plum, fig.", "cat")])
    command = [*COMMAND, "--scalar", "--data", str(tmp_path / "items.jsonl"), "-o", str(tmp_path / "out")]
    done = subprocess.run([*command, "--model", str(weights)], capture_output=True, text=True, timeout=450)
    assert done.returncode == 1
    assert f"--model {weights} is a Qwen2Config with 3 labels: a sequence classification model with one" in done.stderr
    assert "meta_rm" not in done.stderr.replace(str(weights), "")
