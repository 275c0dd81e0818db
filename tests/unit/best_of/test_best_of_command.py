"""`grm-plugin sample` and `grm-plugin best-of` as they are typed: figures, files, and what is refused."""

from __future__ import annotations

import json
import random
import sys
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError, WireError
from support.score_files import read_rows, write_lines


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("engine: {type: fake}\nsampling: {k: 2, temperature: 0.7}\n")
    return path


def made(count: int, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Problems whose right answer is 7: right samples are long, and wrong ones agree where they are frequent."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        right = [rng.random() < number / count for _ in range(n)]
        texts = [f"{'so many different words as this ' if it else 'no: '}\\boxed{{{7 if it else 8}}}" for it in right]
        scores = [rng.random() - it for it in right]
        row = {"id": f"p{number}", "prompt": f"Problem {number}?", "samples": texts, "is_correct": right}
        rows.append(row | {"gt_answer": "7", "scores": scores})
    return rows


def test_a_policy_is_sampled_and_written_in_both_forms(tmp_path: Path, config: Path) -> None:
    problems = write_lines(
        tmp_path / "problems.jsonl", {"id": "a", "prompt": "A?", "test_cases": [1]}, {"prompt": "B?"}
    )
    out, folder = tmp_path / "out", tmp_path / "yaml"
    done = run("sample", problems, "--config", config, "-n", 3, "-o", out, "--yaml", folder)
    assert done.exit_code == 0, done.stderr
    assert "2 of 2 problems; 6 samples now" in done.stderr
    assert [len(row.get("samples", "")) for row in read_rows(out / "samples.jsonl")] == [0, 3, 3]
    loaded = yaml.safe_load((folder / "a.yaml").read_text())
    assert (len(loaded["samples"]), loaded["test_cases"]) == (3, [1])
    before = (out / "samples.jsonl").read_bytes()
    again = run("sample", folder, "--config", config, "-n", 3, "-o", out)  # the YAML files are problems, too
    assert again.exit_code == 0
    assert "2 of 2 problems (2 from before)" in again.stderr
    assert (out / "samples.jsonl").read_bytes() == before
    with pytest.raises(ConfigError, match=r"another policy or of other settings .*sampling differ"):
        run("sample", problems, "--config", config, "-n", 4, "-o", out, "--grm.sampling.temperature", "0.9")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-n", 4, "--grm.sampling.k", 4], "--grm.sampling.k says nothing of a policy: leave it out"),
        (["-n", 4, "--grm.judge.list_size", 4], "--grm.judge.list_size says nothing of a policy"),
        (["-n", 4, "--grm.sampling.temperature", 0], "4 samples would be 4 copies"),
    ],
)
def test_what_cannot_be_sampled_so_is_refused(arguments: list[Any], words: str, tmp_path: Path, config: Path) -> None:
    problems = write_lines(tmp_path / "problems.jsonl", {"prompt": "A?"})
    with pytest.raises(ConfigError, match=words):
        run("sample", problems, "--config", config, "-o", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["sample", "-n", "0"], ["best-of", "-n", "0"]])
def test_no_samples_are_none(command: list[str], tmp_path: Path, config: Path) -> None:
    store = write_lines(tmp_path / "s.jsonl", *made(2, 2))
    done = run(command[0], store, "--config", config, "-o", tmp_path / "out", *command[1:])
    assert done.exit_code == 2
    assert "Invalid value for '--n'" in done.stderr.replace("\n", " ")


def test_figures_are_what_counting_gives(tmp_path: Path, config: Path) -> None:
    rows = made(12, 6)
    out = tmp_path / "out"
    done = run("best-of", write_lines(tmp_path / "s.jsonl", *rows), "--config", config, "-o", out, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads((out / "report.json").read_text())
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert {*found["curves"]} == {
        "coverage",
        "any",
        "majority",
        "stored",
        "weighted by stored",
        "grm",
        "weighted by grm",
    }

    def points(name: str) -> list[float]:
        return [point["value"] for point in found["curves"][name]["points"].values()]

    def counted(worth: Any) -> list[float]:
        return [
            fmean(fmean(worth(row, draw) for draw in combinations(range(6), n)) for row in rows) for n in (1, 2, 4, 6)
        ]

    def majority(row: Any, draw: tuple[int, ...]) -> float:
        right = sum(row["is_correct"][i] for i in draw)
        return 0.5 if 2 * right == len(draw) else float(2 * right > len(draw))

    coverage = counted(lambda row, draw: any(row["is_correct"][i] for i in draw))
    assert points("coverage") == pytest.approx(coverage)
    assert points("grm") == pytest.approx(coverage)  # it likes long samples, which are the right ones
    assert points("majority") == pytest.approx(counted(majority))
    assert points("any") == pytest.approx([fmean(fmean(row["is_correct"]) for row in rows)] * 4)
    hostile = counted(lambda row, draw: row["is_correct"][max(draw, key=lambda i: row["scores"][i])])
    assert points("stored") == pytest.approx(hostile)
    assert found["curves"]["stored"]["falls_after"] == 1
    for curve in found["curves"].values():
        assert all(it["ci95"][0] <= it["value"] <= it["ci95"][1] for it in curve["points"].values())


def test_a_scorer_that_is_fooled_by_more_samples_is_told_apart_from_chance(tmp_path: Path) -> None:
    rows = made(80, 16)
    said = run("best-of", write_lines(tmp_path / "s.jsonl", *rows), "-o", tmp_path / "out").stdout
    assert "stored falls after N = 1: more samples find what fools it" in said
    few = run("best-of", write_lines(tmp_path / "few.jsonl", *made(6, 16)), "-o", tmp_path / "few").stdout
    assert "stored falls after N = 1: which may be chance" in few
    assert "coverage(N) = exp(-" in said
    assert "have no right sample" in said


def test_the_same_command_loads_nothing_and_says_the_same(tmp_path: Path, config: Path) -> None:
    store = write_lines(tmp_path / "s.jsonl", *made(5, 20))
    command = ("best-of", store, "--config", config, "-o", tmp_path / "out")
    first, scores = run(*command).stdout, (tmp_path / "out" / "grm.jsonl").read_bytes()
    assert run(*command).stdout == first
    assert (tmp_path / "out" / "grm.jsonl").read_bytes() == scores
    write_lines(store, *made(5, 20, seed=1))
    with pytest.raises(ConfigError, match="holds scores of other samples of the problem"):
        run(*command)


def test_a_rule_and_a_command_say_what_is_right(tmp_path: Path) -> None:
    rows = [{**row, "is_correct": None, "scores": None} for row in made(4, 3)]
    store = write_lines(tmp_path / "s.jsonl", *rows)
    rule, check = tmp_path / "rules.py", tmp_path / "check.py"
    rule.write_text("def right(response, reference): return '{' + reference + '}' in response\n")
    check.write_text("import sys; sys.exit('{7}' not in sys.stdin.read())\n")
    with pytest.raises(ConfigError, match="give --truth rule with --rule"):
        run("best-of", store, "-o", tmp_path / "none")
    by_rule = run("best-of", store, "--truth", "rule", "--rule", f"{rule}:right", "-o", tmp_path / "r", "--json")
    program = f"{sys.executable} {check}"
    by_tests = run(
        *("best-of", store, "--truth", "command", "--command", program, "-o", tmp_path / "c", "--json"),
        *("--yaml", tmp_path / "yaml", "--rule", f"{rule}:right", "--seconds", 60),
    )
    one, other = json.loads(by_rule.stdout), json.loads(by_tests.stdout)

    def values(found: dict[str, Any], name: str) -> list[float]:
        return [point["value"] for point in found["curves"][name]["points"].values()]

    assert values(one, "coverage") == values(other, "coverage") == pytest.approx(values(other, "rule"))
    assert "rule" not in one["curves"]
    assert other["notes"][0].startswith("--command: the network was ")
    written = {path.stem: yaml.safe_load(path.read_text())["is_corrects"] for path in (tmp_path / "yaml").iterdir()}
    assert written == {row["id"]: row["is_correct"] for row in made(4, 3)}


def test_samples_of_which_nobody_says_whether_they_are_right_are_left_out(tmp_path: Path) -> None:
    rows = made(3, 4)
    rows[0]["is_correct"] = [None, True, True, False]
    rows[0]["scores"][1] = None
    rows[1]["is_correct"] = [None] * 4
    store = write_lines(tmp_path / "s.jsonl", *rows)
    said = run("best-of", store, "-o", tmp_path / "out").stdout
    assert "2 problems, up to 3 samples each; right is what the store says" in said
    assert "1 problems are left out: nobody says which of their samples are right" in said
    assert "1 samples are left out: nobody says whether they are right" in said
    assert "Problems have 3 to 4 samples: figures go up to 3" in said
    assert "stored has no score for 1 samples" in said
    with pytest.raises(ConfigError, match="--n 4 is more than the 3 samples of problem 'p0' that are known"):
        run("best-of", store, "-n", 4, "-o", tmp_path / "out")


def test_costs_are_shown_where_prices_are_known(tmp_path: Path, config: Path) -> None:
    store = write_lines(tmp_path / "s.jsonl", *made(3, 4))
    plain = run("best-of", store, "-o", tmp_path / "a").stdout
    assert "FLOPs" not in plain
    assert "cost" not in plain
    prices = ("--params", "8e9", "--layers", 32, "--width", 4096, "--price", "0.1/0.4", "--judge-params", "27e9")
    said = run("best-of", store, "-o", tmp_path / "b", "--config", config, *prices, "--judge-price", "1/2").stdout
    assert all(row in said for row in ("FLOPs, samples", "cost, samples", "FLOPs, grm", "cost, grm"))
    assert "taken as a fourth of the characters" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-n", "9"], "--n 9 is more than the 4 samples that problem 'p0' has: grm-plugin sample --n 9"),
        (["--truth", "rule"], "--truth rule needs --rule"),
        (["--truth", "command"], "--truth command needs --command"),
        (["--grm.sampling.k", "4"], "--grm.sampling.k has no effect without --config"),
        (["--price", "1"], "--price '1': give two prices"),
        (["--judge-price", "nan/1"], "--judge-price 'nan/1': give two prices"),
        (["--answer", "(?=x)"], "--answer: RE2 refuses it"),
        (["--command", "no-such-program"], "there is no program 'no-such-program'"),
        (["--rule", "x.py:f"], r"there is no file .*x\.py"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], words: str, tmp_path: Path) -> None:
    store = write_lines(tmp_path / "s.jsonl", *made(2, 4))
    with pytest.raises(ConfigError, match=words):
        run("best-of", store, "-o", tmp_path / "out", *arguments)


def test_a_store_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    empty = write_lines(tmp_path / "empty.jsonl", {"id": "a", "prompt": "P", "samples": []})
    with pytest.raises(ConfigError, match="problem 'a' has no samples: draw some"):
        run("best-of", empty, "-o", tmp_path / "out")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "0.yaml").write_text("is_correct:\n- true\n- false\nprompt: P\nsamples:\n- one\n")
    with pytest.raises(WireError, match=r"0\.yaml: is_correct has 2 entries, and there are 1 samples"):
        run("best-of", tmp_path / "cut", "-o", tmp_path / "out")
