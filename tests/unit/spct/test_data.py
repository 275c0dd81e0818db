"""What is trained on: the rules of rejection by hand-computed cases, training files, general data, RL prompts."""

from __future__ import annotations

import json
import resource
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grm_plugin.batch.items import Item, write_items
from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError, EngineError, WireError
from grm_plugin.judging.outcome import Target, verdict_of
from grm_plugin.spct.instruction_data import read_general
from grm_plugin.spct.rejection import Decision, RejectionRules
from grm_plugin.spct.rft_data import RejectionReport, write_report, write_training_file
from grm_plugin.spct.rl_data import content_digest, rl_rows
from grm_plugin.spct.token_limit import UNLIMITED, TokenLimit
from grm_plugin.spct.training_files import read_rows, write_rows
from grm_plugin.spct.training_prompts import TrainingPrompts, present
from grm_plugin.spct.trajectories import ItemTrajectories, Kind, Trajectory
from grm_plugin.types import Completion, Message
from support.factories import critique_text, make_config
from support.paths import ROOT

CONFIG = make_config()
PROMPTS = TrainingPrompts(CONFIG)
RULES = RejectionRules(PROMPTS)
LEAK = "As the hint says.\n"
RIGHT, WRONG, TIE = (9, 2), (2, 9), (5, 5)


def item(name: str, *responses: str) -> Item:
    return Item(name, (Message("user", f"Question {name}?"),), responses or ("good", "bad"), (0,))


class Letters:
    """A tokenizer: one token per character."""

    def apply_chat_template(self, messages: Any, tokenize: bool, add_generation_prompt: bool) -> str:
        text = "".join(f"<{message['role']}>{message['content']}\n" for message in messages)
        return text + "<assistant>" * add_generation_prompt

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(letter) for letter in text]


def trajectory(scores: tuple[int, ...] | None, kind: Kind = "plain", text: str = "") -> Trajectory:
    """`scores` are those of the item's responses 0 and 1, shown in this order."""
    text = text or ("?" if scores is None else critique_text(scores))
    verdict = verdict_of(Completion(text), Target(2, best=(0,)))
    return Trajectory(
        kind=kind, text=text, right=verdict.right, scores=verdict.scores, reason=verdict.reason, tie=verdict.tie,
        tokens=10,
    )  # fmt: skip


def record(name: str, *plain: Any, hinted: Any = (), leaked: bool = False) -> ItemTrajectories:
    one = item(name)
    shown = next(shown for seed in range(99) if (shown := present(one, CONFIG, seed)).order == (0, 1))
    sampled = [trajectory(scores) for scores in plain]
    sampled += [trajectory(scores, "hinted", LEAK + critique_text(scores) if leaked else "") for scores in hinted]
    return ItemTrajectories.of(name, shown, tuple(sampled))


def decisions(one: ItemTrajectories, rules: RejectionRules | None = None) -> list[Decision]:
    return [(rules or RULES).decide(one, each) for each in one.trajectories]


class TestRules:
    """Every case of arXiv 2504.02495, section 3.2, by hand."""

    @pytest.mark.parametrize(
        ("plain", "expected"),
        [
            ((RIGHT, WRONG, TIE), ["kept", "wrong", "tie"]),
            ((RIGHT, RIGHT, WRONG), ["kept", "kept", "wrong"]),
            ((RIGHT, RIGHT, None), ["kept", "kept", "unread"]),  # not 3 of 3: one gave no verdict
            ((RIGHT, RIGHT, RIGHT), ["easy", "easy", "easy"]),
            ((WRONG, WRONG, WRONG), ["wrong", "wrong", "wrong"]),
            ((None, None, None), ["unread", "unread", "unread"]),
        ],
    )
    def test_without_a_hint(self, plain: Any, expected: list[str]) -> None:
        assert decisions(record("a", *plain)) == expected

    @pytest.mark.parametrize(
        ("hinted", "leaked", "expected"),
        [
            (RIGHT, False, "kept"),
            (WRONG, False, "wrong"),
            (TIE, False, "tie"),
            (None, False, "unread"),
            (RIGHT, True, "leaked"),
        ],
    )
    def test_with_a_hint_only_wrong_ones_are_dropped(self, hinted: Any, leaked: bool, expected: str) -> None:
        assert decisions(record("a", RIGHT, RIGHT, RIGHT, hinted=[hinted], leaked=leaked))[3] == expected
        assert decisions(record("a", WRONG, WRONG, WRONG, hinted=[hinted], leaked=leaked))[3] == expected

    def test_without_rejection_everything_that_can_be_read_is_kept(self) -> None:
        off = RejectionRules(PROMPTS, rejection=False)
        assert decisions(record("a", RIGHT, WRONG, None, hinted=[TIE]), off) == ["kept", "kept", "unread", "kept"]
        assert decisions(record("a", RIGHT, RIGHT, RIGHT), off) == ["kept"] * 3
        assert decisions(record("a", RIGHT, hinted=[RIGHT], leaked=True), off) == ["kept", "leaked"]

    def test_a_row_is_as_long_as_the_trainer_sees_it(self) -> None:
        """Prompt, critique and the two tokens that OpenRLHF writes behind them."""
        one = record("a", RIGHT, WRONG)
        prompt = PROMPTS.plain(one.shown).messages[0].content
        length = len(f"<user>{prompt}\n<assistant>{one.trajectories[0].text}\n") + 2
        assert decisions(one, RejectionRules(PROMPTS, limit=TokenLimit(Letters(), length))) == ["kept", "wrong"]
        assert decisions(one, RejectionRules(PROMPTS, limit=TokenLimit(Letters(), length - 1))) == ["too_long", "wrong"]
        assert decisions(one, RejectionRules(PROMPTS, False, TokenLimit(Letters(), length - 1))) == [
            "too_long",
            "too_long",
        ]


class TestTrainingFile:
    records = (
        record("a", RIGHT, WRONG, TIE, hinted=[RIGHT]),
        record("b", RIGHT, RIGHT, RIGHT, hinted=[WRONG]),
        record("c", None, WRONG, WRONG, hinted=[RIGHT]),
    )

    def test_rows_and_report(self, tmp_path: Path) -> None:
        report = write_training_file(tmp_path / "sft.jsonl", self.records, RULES)
        rows = list(read_rows(tmp_path / "sft.jsonl"))
        assert [(row["id"], row["kind"]) for row in rows] == [("a", "plain"), ("a", "hinted"), ("c", "hinted")]
        assert report.as_json() == {
            "items": 3,
            "items_with_rows": 2,
            "items_easy": 1,
            "items_never_right": 1,
            "items_left_out": {"identical": 0, "contradictory": 0},
            "plain_right": {"0 of 3": 1, "1 of 3": 1, "3 of 3": 1},
            "trajectories": {
                "plain": {"kept": 1, "easy": 3, "wrong": 3, "tie": 1, "leaked": 0, "unread": 1, "too_long": 0},
                "hinted": {"kept": 2, "easy": 0, "wrong": 1, "tie": 0, "leaked": 0, "unread": 0, "too_long": 0},
            },
            "unread": {"no_scores": 1},
            "tokens": {"drawn": 120, "kept": 30},
            "rows": {"kept": 3, "general": 0, "general_too_long": 0},
        }

    def test_no_row_holds_a_hint(self, tmp_path: Path) -> None:
        write_training_file(tmp_path / "sft.jsonl", self.records, RULES)
        for row in read_rows(tmp_path / "sft.jsonl"):
            text = json.dumps(row)
            assert "Known verdict" not in text
            assert "known to be the best" not in text
            plain = PROMPTS.plain(record(row["id"]).shown).messages[0].content
            assert row["prompt"] == [{"role": "user", "content": plain}]

    def test_a_hint_in_an_older_store_is_found_by_the_rules_of_today(self, tmp_path: Path) -> None:
        stored = record("a", RIGHT, hinted=[RIGHT], leaked=True).model_dump(mode="json")
        for each in stored["trajectories"]:
            each["leaked"] = False  # what an earlier version thought
        report = write_training_file(
            tmp_path / "sft.jsonl", [ItemTrajectories.model_validate(stored)], RejectionRules(PROMPTS, False)
        )
        assert [row["kind"] for row in read_rows(tmp_path / "sft.jsonl")] == ["plain"]
        assert report.decisions["hinted"] == {"leaked": 1}

    def test_nothing_readable_is_the_templates_fault(self, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match=r"not one could be read \(no_scores 2\).*judge\.template"):
            write_training_file(tmp_path / "sft.jsonl", [record("a", None, None)], RULES)

    def test_a_report_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "report.json").mkdir()
        with pytest.raises(ConfigError, match=r"report\.json cannot be written: Is a directory"):
            write_report(tmp_path / "report.json", RejectionReport())

    def test_an_empty_set_is_an_error_and_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match=r"no trajectory of 2 items is kept.*'wrong': 2.*nothing was written"):
            write_training_file(tmp_path / "sft.jsonl", [record("a", WRONG), record("b", WRONG)], RULES)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["sft.jsonl", "sft.parquet"])
    def test_general_data_comes_with_it(self, tmp_path: Path, name: str) -> None:
        general = tmp_path / "chat.jsonl"
        general.write_text(
            '{"prompt": "Hi", "response": "Hello"}\n{"instruction": "Add", "input": "1 1", "output": "2"}\n'
        )
        report = write_training_file(tmp_path / name, self.records, RULES, [general])
        rows = list(read_rows(tmp_path / name))
        assert (report.kept, report.general, len(rows)) == (3, 2, 5)
        assert rows[3] == {
            "prompt": [{"role": "user", "content": "Hi"}],
            "completion": [{"role": "assistant", "content": "Hello"}],
            "id": "chat-1",
            "kind": "general",
        }
        assert rows[4]["prompt"][0]["content"] == "Add\n\n1 1"

    def test_general_data_has_to_fit_too(self, tmp_path: Path) -> None:
        general = tmp_path / "chat.jsonl"
        write_rows(general, [{"prompt": "Hi", "response": text} for text in ("Hello", "Hello" * 2000)])
        rules = RejectionRules(PROMPTS, limit=TokenLimit(Letters(), 5000))
        report = write_training_file(tmp_path / "sft.jsonl", self.records, rules, [general])
        assert report.as_json()["rows"] == {"kept": 3, "general": 1, "general_too_long": 1}

    def test_a_full_disk_leaves_the_former_file(self, tmp_path: Path) -> None:
        path = tmp_path / "sft.jsonl"
        write_rows(path, [{"a": 1}])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(ConfigError, match="cannot be written: File too large"):
                write_rows(path, [{"a": "x" * 10_000}])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(read_rows(path)) == [{"a": 1}]
        assert [found.name for found in tmp_path.iterdir()] == ["sft.jsonl"]

    def test_files_that_cannot_be_read_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"nowhere\.jsonl cannot be read: No such file"):
            list(read_rows(tmp_path / "nowhere.jsonl"))
        (tmp_path / "a.jsonl").write_text('{"a": 1}\n[1]\n')
        with pytest.raises(ConfigError, match="line 2 must be a JSON object"):
            list(read_rows(tmp_path / "a.jsonl"))
        (tmp_path / "a.parquet").write_text("text")
        with pytest.raises(ConfigError, match="no Parquet file"):
            list(read_rows(tmp_path / "a.parquet"))


class TestGeneral:
    chat = ({"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"})

    def read(self, folder: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
        write_rows(folder / "general.jsonl", rows)
        return list(read_general(folder / "general.jsonl"))

    @pytest.mark.parametrize(
        "row",
        [
            {"messages": list(chat)},
            {"prompt": list(chat[:2]), "completion": [chat[2]]},
            {"input": list(chat[:2]), "output": "a", "more": 1},
        ],
    )
    def test_the_usual_shapes(self, tmp_path: Path, row: dict[str, Any]) -> None:
        assert self.read(tmp_path, row) == [{"prompt": list(self.chat[:2]), "completion": [self.chat[2]]}]

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"text": "a"}, "no request and answer: give messages, or prompt/completion"),
            ({"messages": [chat[1]]}, "must end with one assistant turn"),
            ({"messages": [chat[2]]}, "after at least one other turn"),
            ({"messages": list(chat[:2])}, "must end with one assistant turn"),
            ({"prompt": 3, "response": "a"}, "prompt must be a text, or a list of messages"),
            ({"messages": [{"role": "user"}]}, "messages must be a text, or a list of messages"),
        ],
    )
    def test_mistakes_name_the_row(self, tmp_path: Path, row: dict[str, Any], words: str) -> None:
        with pytest.raises(WireError, match=rf"general\.jsonl row 2: .*{words}"):
            self.read(tmp_path, {"prompt": "p", "response": "r"}, row)

    @pytest.mark.parametrize(
        "row", [{"prompt": "p", "response": "a \ud83d"}, {"messages": [*chat[:2], {**chat[2], "content": "a \ud83d"}]}]
    )
    def test_what_no_file_can_hold_is_replaced(self, tmp_path: Path, row: dict[str, Any]) -> None:
        (tmp_path / "general.jsonl").write_text(json.dumps(row))
        (read,) = read_general(tmp_path / "general.jsonl")
        assert read["completion"] == [{"role": "assistant", "content": "a \ufffd"}]


class TestPromptsForRL:
    def rows(self, *items: Item, easy: Any = (), limit: TokenLimit = UNLIMITED) -> tuple[list[Any], Counter[str]]:
        dropped: Counter[str] = Counter()
        return list(rl_rows(items, CONFIG, PROMPTS, 0, easy, limit, dropped)), dropped

    def test_the_label_counts_positions_as_shown(self) -> None:
        items = [item(f"i{number}", "good", "bad", "worse") for number in range(20)]
        rows, dropped = self.rows(*items)
        assert not dropped
        for row, one in zip(rows, items, strict=True):
            shown = present(one, CONFIG, 0)
            target = Target.from_json(row["label"])
            assert shown.group.responses[shown.order[target.best[0]]] == "good"
            assert row["prompt"] == [{"role": "user", "content": PROMPTS.plain(shown).messages[0].content}]

    def test_a_single_response_has_its_label(self) -> None:
        rows, _ = self.rows(Item("x", (Message("user", "?"),), ("a",), (), 0))
        assert Target.from_json(rows[0]["label"]) == Target(1, label=0)

    def test_the_label_says_what_serving_makes_of_decimals(self) -> None:
        """What the service counts is rewarded, and what `rft-data` keeps as right is no wrong verdict here."""
        for decimals, right in (("reject", False), ("accept", True)):
            config = make_config(judge__decimals=decimals)
            (row,) = rl_rows([item("a")], config, TrainingPrompts(config), 0, (), UNLIMITED, Counter())
            assert ("decimals" in row["label"]) is right, "labels of earlier versions stay as they were"
            target = Target.from_json(row["label"])
            scores = (7.5, 3) if target.best == (0,) else (3, 7.5)
            assert verdict_of(Completion(critique_text(scores)), target).right is right

    def test_what_is_left_out_is_counted(self) -> None:
        items = [item("easy"), item("image", "see <image>", "b"), item("long", "x" * 9000, "b"), item("fine")]
        easy = {content_digest(present(items[0], CONFIG, seed=7))}
        rows, dropped = self.rows(*items, easy=easy, limit=TokenLimit(Letters(), 9000))
        assert [row["id"] for row in rows] == ["fine"]
        assert dropped == {"easy": 1, "image_tag": 1, "too_long": 1}

    def test_an_id_alone_makes_no_item_easy(self) -> None:
        """Numbered ids of another file are other items; and an item is the same under another id."""
        shown = present(replace(item("1", "good", "bad"), id="7"), CONFIG, 3)
        other = Item("7", (Message("user", "Another?"),), ("good", "bad"), (0,))
        labelled = replace(item("1", "good", "bad"), id="8", best=(1,))
        rows, dropped = self.rows(other, item("1", "good", "bad"), easy={content_digest(shown)})
        assert ([row["id"] for row in rows], dropped) == (["7"], {"easy": 1})
        rows, dropped = self.rows(labelled, easy={content_digest(shown)})
        assert ([row["id"] for row in rows], dropped) == (["8"], {})


class TestShuffling:
    ROWS = tuple({"id": f"r{number}", "text": "x" * number} for number in range(2000))

    def written(self, folder: Path, rows: Any, seed: int | None, name: str = "rows.jsonl") -> list[str]:
        assert write_rows(folder / name, rows, seed) == len(rows)
        assert [path.name for path in folder.iterdir()] == [name]
        return [row["id"] for row in read_rows(folder / name)]

    @pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
    def test_a_seed_gives_one_order_whatever_the_rows_came_in(self, tmp_path: Path, name: str) -> None:
        first = self.written(tmp_path, self.ROWS, 0, name)
        assert sorted(first) == sorted(row["id"] for row in self.ROWS)
        assert first == self.written(tmp_path, self.ROWS[::-1], 0, name)
        assert first != self.written(tmp_path, self.ROWS, 1, name)
        assert self.written(tmp_path, self.ROWS, None, name) == [row["id"] for row in self.ROWS]

    def test_the_first_rows_are_a_fair_part_of_every_kind(self, tmp_path: Path) -> None:
        """B8: general data came last, and `--data.max_samples` takes the first rows."""
        general = tmp_path / "chat.jsonl"
        write_rows(general, [{"prompt": f"Hi {number}", "response": "Hello"} for number in range(3000)])
        records = [record(f"a{number}", RIGHT, WRONG) for number in range(1000)]
        write_training_file(tmp_path / "sft.jsonl", records, RULES, [general], seed=0)
        kinds = [row["kind"] for row in read_rows(tmp_path / "sft.jsonl")]
        assert Counter(kinds) == {"general": 3000, "plain": 1000}
        assert 650 < kinds[:1000].count("general") < 850

    def test_the_commands_shuffle_by_their_seed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "config.yaml").write_text("engine: {type: fake}\n")
        write_items(tmp_path / "items.jsonl", [item(f"i{n}", "a b c d e f g h", "a") for n in range(60)])

        def ids(command: str, seed: int, output: str) -> list[str]:
            words = [*command.split(), "-c", "config.yaml", "--seed", str(seed), "-o", output.partition("/")[0]]
            done = CliRunner().invoke(app, ["spct", *words], catch_exceptions=False)
            assert done.exit_code == 0, done.output
            return [row["id"] for row in read_rows(tmp_path / output)]

        ids("rft-data items.jsonl --no-rejection --samples 1 --no-hint", 0, "rft/sft.jsonl")
        write_items(tmp_path / "wrong.jsonl", [item("w", "a", "a b c d e f g h")])
        ids("rft-data wrong.jsonl --no-rejection --samples 1 --no-hint", 0, "wrong/sft.jsonl")
        for command, output in (
            ("rft-data items.jsonl --no-rejection --samples 1 --no-hint", "rft/sft.jsonl"),
            ("rl-data items.jsonl", "rl.jsonl"),
            ("meta-rm-data rft wrong", "meta.jsonl"),
        ):
            first = ids(command, 0, output)
            assert first == ids(command, 0, output), command
            assert first != [f"i{n}" for n in range(60)], command
            if not command.startswith("rft"):  # another seed there samples other trajectories, into another folder
                other = ids(command, 1, output)
                assert sorted(first) == sorted(other), command
                assert first != other, command


class TestHintsWithStrength:
    """The paper's hint for HelpSteer2 tells how strong the preference is."""

    PROMPTS = TrainingPrompts(CONFIG, hint=ROOT / "examples/spct/hint_with_strength.txt")

    def shown(self, **meta: Any) -> ItemTrajectories:
        return ItemTrajectories.of("a", present(replace(item("a"), meta=meta), CONFIG, 0), ())

    def test_an_item_may_say_how_much_better_its_best_response_is(self) -> None:
        stored = ItemTrajectories.model_validate_json(self.shown(strength="slightly better").model_dump_json())
        hinted = self.PROMPTS.hinted(stored.shown).messages[-1].content
        assert "best of the 2 responses above, and slightly better than the next." in hinted
        assert "slightly better" not in self.PROMPTS.plain(stored.shown).messages[-1].content
        assert self.PROMPTS.gives_away(stored.shown, "Of the two it is slightly better than the next.\n")

    def test_the_others_have_the_plain_hint(self) -> None:
        hinted = self.PROMPTS.hinted(self.shown(source="x").shown).messages[-1].content
        assert "is known to be the best of the 2 responses above." in hinted

    def test_a_store_of_an_earlier_version_has_no_meta(self) -> None:
        stored = self.shown().model_dump(mode="json")
        del stored["meta"]
        assert ItemTrajectories.model_validate(stored).shown.meta == {}
