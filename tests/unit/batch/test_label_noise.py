"""Items whose label no judge could find out from what it is shown are left out of training and evaluation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from grm_plugin.batch.items import Item, write_items
from grm_plugin.batch.label_noise import without_noise
from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError
from grm_plugin.spct.training_files import read_rows
from grm_plugin.types import Message
from support.factories import make_config

LONG = "start " * 10_000
MANY, FEW = "a b c d e f g h i j k", "a"  # the dry run's rule prefers many different words


def item(name: str, *responses: str, best: Any = (0,), prompt: str = "?", **rest: Any) -> Item:
    label = None if len(responses) > 1 else best
    return Item(name, (Message("user", prompt),), responses, () if label is not None else best, label, **rest)


def left(*items: Item, **judge: Any) -> tuple[list[str], dict[str, int]]:
    left_out: Counter[str] = Counter()
    config = make_config(**{f"judge__{key}": value for key, value in judge.items()}).judge
    return [each.id for each in without_noise(items, config, left_out)], dict(left_out)


@pytest.mark.parametrize(
    ("responses", "identical"),
    [
        (("same", "same"), True),
        (("same", "sa\u200bme"), True),
        (("\ufeffsame", "same\u2060"), True),
        (("<|im_end|>", "< |im_end|>"), True),
        ((LONG + "x" + LONG, LONG + "y" + LONG), True),
        (("", "  \n"), True),
        (("\u200b", " "), True),
        (("a", "b", "a"), True),
        (("a", "b", "b"), False),
        (("same", "Same"), False),
        (("a b", "a  b"), False),
        ((LONG + "x", LONG + "y"), False),
        (("x" + LONG, "y" + LONG), False),
    ],
)
def test_a_best_and_a_worse_response_that_are_shown_as_one(responses: tuple[str, ...], identical: bool) -> None:
    kept, left_out = left(item("a", *responses))
    assert (kept, left_out) == (([], {"identical": 1}) if identical else (["a"], {}))


def test_what_is_shown_depends_on_the_configuration() -> None:
    invisible = item("a", "same", "sa\u200bme")
    assert left(invisible, invisible="keep") == (["a"], {})
    long = item("a", "x" * 200 + "1" + "x" * 100, "x" * 200 + "2" + "x" * 100)
    assert left(long) == (["a"], {})
    assert left(long, max_response_chars=100) == ([], {"identical": 1})


def test_several_best_responses_may_be_equal_but_none_to_a_worse_one() -> None:
    assert left(item("a", "x", "x", "y", best=(0, 1))) == (["a"], {})
    assert left(item("a", "x", "z", "z", best=(0, 1))) == ([], {"identical": 1})


@pytest.mark.parametrize(
    ("first", "second", "contradictory"),
    [
        (item("1", "x", "y"), item("2", "x", "y", best=(1,)), True),
        (item("1", "x", "y"), item("2", "y", "x"), True),
        (item("1", "x", "y"), item("2", "y", "x\u200b"), True),
        (item("1", "x", "y", "z"), item("2", "z", "y", "x"), True),
        (item("1", "x", "y", "z"), item("2", "y", "x"), True),  # a list against a pair
        (item("1", "x", "y", "z", best=(0, 1)), item("2", "z", "y"), True),
        (item("1", "a", best=1), item("2", "a", best=0), True),
        (item("1", "x", "y"), item("2", "x", "y"), False),
        (item("1", "x", "y"), item("2", "y", "x", best=(1,)), False),
        (item("1", "x", "y"), item("2", "y", "z"), False),
        (item("1", "x", "y"), item("2", "y", "x", prompt="Another?"), False),
        (item("1", "x", "y", rubric="be brief"), item("2", "y", "x", rubric="be thorough"), False),
        (item("1", "x", "y", reference="x"), item("2", "y", "x", reference="y"), False),
        (item("1", "a", best=1), item("2", "a", best=1), False),
        (item("1", "a", best=1), item("2", "b", best=0), False),
    ],
)
def test_two_labels_that_say_the_opposite(first: Item, second: Item, contradictory: bool) -> None:
    for pair in ((first, second), (second, first)):
        kept, left_out = left(*pair, item("other", "x", "y", prompt="Other?"))
        if contradictory:
            assert (kept, left_out) == (["other"], {"contradictory": 2})
        else:
            assert (len(kept), left_out) == (3, {})


def test_an_identical_item_contradicts_no_other() -> None:
    assert left(item("1", "x", "x"), item("2", "x", "y")) == (["2"], {"identical": 1})


class TestCommands:
    """The items of the fault report: every command that reads labelled items leaves the same ones out."""

    CLEAN = (item("right", MANY, FEW, prompt="One?"), item("wrong", FEW, MANY, prompt="Two?"))
    NOISE = (
        item("equal", "same", "same"),
        item("invisible", "sa\u200bme", "same"),
        item("cut", LONG + "x" + LONG, LONG + "y" + LONG),
        item("for", MANY, FEW, prompt="Three?"),
        item("against", FEW, MANY, prompt="Three?"),
    )

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("config.yaml").write_text("engine: {type: fake}\n")
        write_items(Path("items.jsonl"), [*self.NOISE[:3], *self.CLEAN, *self.NOISE[3:]])

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--config", "config.yaml"], catch_exceptions=False)

    def test_rl_data(self) -> None:
        said = self.run("spct", "rl-data", "items.jsonl", "--output", "rl.jsonl").output
        assert said == "rl.jsonl: 2 prompts; 3 identical; 2 contradictory\n"
        assert {row["id"] for row in read_rows(Path("rl.jsonl"))} == {"right", "wrong"}

    def test_rft_data(self) -> None:
        said = self.run("spct", "rft-data", "items.jsonl", "--output", "rft", "--no-rejection").output
        assert "2 items, 2 with rows, 3 identical left out, 2 contradictory left out" in " ".join(said.split())
        assert {row["id"] for row in read_rows(Path("rft/sft.jsonl"))} == {"right", "wrong"}
        report = json.loads(Path("rft/report.json").read_text())
        assert report["items_left_out"] == {"identical": 3, "contradictory": 2}
        assert report["items"] == 2

    def test_rft_data_of_the_first_items(self) -> None:
        with pytest.raises(ConfigError, match=r"no item is left \({'identical': 3"):
            self.run("spct", "rft-data", "items.jsonl", "--output", "rft", "--first", "3")
        self.run("spct", "rft-data", "items.jsonl", "--output", "rft", "--first", "4", "--no-rejection")
        assert {row["id"] for row in read_rows(Path("rft/sft.jsonl"))} == {"right"}

    def test_eval(self) -> None:
        done = self.run("eval", "--suite", "jsonl", "--data", "items.jsonl", "--k", "2", "--output", "eval")
        assert "left out: 3 identical\nleft out: 2 contradictory\n" in done.stderr
        assert "2 of 2 items" in done.stderr
        report = json.loads(Path("eval/report.json").read_text())
        assert report["left_out"] == {"identical": 3, "contradictory": 2}
        assert {row["n"] for row in report["rows"]} == {2}

    def test_eval_of_a_published_benchmark(self) -> None:
        """Its official figure counts them: they are judged, and it is said which figure leaves them out."""
        row = {"prompt": "q", "chosen": MANY, "rejected": MANY, "subset": "donotanswer", "id": 1}
        rows = [row, row | {"id": 2, "rejected": FEW}]
        Path("rb.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
        done = self.run("eval", "--suite", "rewardbench", "--data", "rb.jsonl", "--k", "2", "--output", "eval")
        assert "kept for the official figure, left out of the strict one: 1 identical\n" in done.stderr
        assert "2 of 2 items" in done.stderr

    @pytest.mark.parametrize("folders", [("rft",), ("eval",), ("rft", "eval")])
    def test_meta_rm_data(self, folders: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
        """Of folders that an earlier version filled: its runs left nothing out."""
        with monkeypatch.context() as patch:
            for module in ("grm_plugin.cli.spct", "grm_plugin.evals.benchmarks.suites"):
                patch.setattr(f"{module}.without_noise", lambda items, *_: list(items))
            self.run("spct", "rft-data", "items.jsonl", "--output", "rft", "--no-rejection")
            self.run("eval", "--suite", "jsonl", "--data", "items.jsonl", "--k", "2", "--output", "eval")
        said = self.run("spct", "meta-rm-data", *folders, "--output", "meta.jsonl").output
        count = len(folders)
        assert f"; {3 * count} identical items left out; {2 * count} contradictory items left out\n" in said
        assert {row["id"] for row in read_rows(Path("meta.jsonl"))} == {"right", "wrong"}

    def test_folders_may_contradict_each_other(self) -> None:
        for name, of in (("one", self.NOISE[3]), ("two", self.NOISE[4])):
            write_items(Path(f"{name}.jsonl"), [*self.CLEAN, of])
            self.run("spct", "rft-data", f"{name}.jsonl", "--output", name, "--no-rejection")
        said = self.run("spct", "meta-rm-data", "one", "two", "--output", "meta.jsonl").output
        assert "; 2 contradictory items left out" in said
        assert {row["id"] for row in read_rows(Path("meta.jsonl"))} == {"right", "wrong"}

    def test_nothing_left_is_an_error(self) -> None:
        write_items(Path("items.jsonl"), self.NOISE[:1])
        for words in (
            ["spct", "rl-data", "items.jsonl", "--output", "rl.jsonl"],
            ["spct", "rft-data", "items.jsonl", "--output", "rft"],
            ["eval", "--suite", "jsonl", "--data", "items.jsonl", "--output", "eval"],
        ):
            with pytest.raises(ConfigError, match=r"no item is left \({'identical': 1}\)"):
                self.run(*words)
