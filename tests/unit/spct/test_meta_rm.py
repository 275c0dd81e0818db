"""The meta RM's data, loss and figures, by hand-computed cases."""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grm_plugin.batch import vote_store as evals
from grm_plugin.batch.items import Item
from grm_plugin.batch.vote_store import Manifest, StoredVote, VoteStore
from grm_plugin.config import Config
from grm_plugin.engines.fake import FakeEngine
from grm_plugin.engines.fingerprint import fingerprint
from grm_plugin.errors import ConfigError
from grm_plugin.evals.critique_rating import rate_votes
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.lists import ListJudge
from grm_plugin.spct.meta_rm_data import rows_of_folder
from grm_plugin.spct.meta_rm_examples import Example, bundles_of, padding_id, read_examples, split_by_item
from grm_plugin.spct.meta_rm_metrics import measure, roc_auc
from grm_plugin.spct.training_files import write_rows
from grm_plugin.spct.training_prompts import Presentation, TrainingPrompts, present
from grm_plugin.spct.trajectories import ItemTrajectories, Trajectory, TrajectoryStore
from grm_plugin.types import Completion, Conversation, Message, UnparsedReason
from support.factories import Scripted, critique_text, make_config

CONFIG = make_config()
ITEM = Item("x", (Message("user", "Which?"),), ("good", "bad"), (0,))


class TestMetrics:
    def test_auc(self) -> None:
        # Pairs (right, wrong): 3>1, 3>2, 2>1 win, 2=2 is half a win: 3.5 of 4.
        assert roc_auc([3, 2, 1, 2], [1, 1, 0, 0]) == 3.5 / 4
        assert roc_auc([1, 2, 3, 4], [1, 1, 0, 0]) == 0
        assert roc_auc([5, 5, 5], [1, 0, 1]) == 0.5
        assert math.isnan(roc_auc([1, 2], [1, 1]))

    @pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
    def test_unusable_logits_are_refused(self, logit: float) -> None:
        with pytest.raises(ConfigError, match="1 of 2 critiques with NaN or infinity"):
            measure([1.0, logit], [1, 0], ["a", "a"])
        roc_auc([math.nan, logit, math.nan], [1, 0, 1])  # ends

    def test_hand_computed(self) -> None:
        half, strong = 0.0, math.log(9)  # probabilities 0.5 and 0.9; -strong is 0.1
        found = measure([strong, -strong, strong, half], [1, 0, 0, 1], ["a", "a", "b", "b"])
        assert (found.critiques, found.right) == (4, 0.5)
        assert found.accuracy == 2 / 4  # the logit 0 is no sign of a right one
        assert found.auc == pytest.approx(
            (1 + 0.5 + 1 + 0) / 4
        )  # a: 0.9 over 0.1, level with 0.9; b: 0.5 over 0.1, under 0.9
        assert (found.within_auc, found.pairs) == (0.5, 2)  # a is right, b is wrong
        expected = [-math.log(0.9), -math.log(0.9), -math.log(0.1), -math.log(0.5)]
        assert found.log_loss == pytest.approx(sum(expected) / 4)
        assert [(bin.critiques, round(bin.predicted, 6), bin.right) for bin in found.calibration] == [
            (1, 0.1, 0.0),
            (1, 0.5, 1.0),
            (2, 0.9, 0.5),
        ]
        assert found.ece == pytest.approx((1 * 0.1 + 1 * 0.5 + 2 * 0.4) / 4)

    def test_extreme_logits_are_finite(self) -> None:
        found = measure([1000.0, -1000.0], [0, 1], ["a", "b"])
        assert found.log_loss == 1000
        assert (found.accuracy, found.ece) == (0, 1)
        assert math.isnan(found.within_auc)
        assert json.loads(json.dumps(found.as_json(), allow_nan=False))["within_auc"] is None
        assert "AUC 0.000" in str(found)


class TestData:
    def test_readable_critiques_without_a_hint(self, tmp_path: Path) -> None:
        shown = presentation(ITEM)
        record = ItemTrajectories.of(
            "x",
            shown,
            (
                Trajectory(kind="plain", text="A", right=True, scores=(9, 2)),
                Trajectory(kind="plain", text="B", right=False, scores=(2, 9)),
                Trajectory(kind="plain", text="C", right=False, reason=UnparsedReason.NO_SCORES),
                Trajectory(kind="hinted", text="D", right=True, scores=(9, 2)),
            ),
        )
        with TrajectoryStore(tmp_path, {}) as store:
            store.add(record)
        counts: Counter[str] = Counter()
        rows = list(rows_of_folder(tmp_path, CONFIG, TrainingPrompts(CONFIG), counts))
        assert [(row["messages"][1]["content"], row["label"], row["id"]) for row in rows] == [
            ("A", 1, "x"),
            ("B", 0, "x"),
        ]
        assert counts == {"right": 1, "wrong": 1, "unread": 1}

    def test_votes_of_an_evaluation(self, tmp_path: Path) -> None:
        single = Item("y", (Message("user", "?"),), ("a",), (), 1)
        votes = (
            StoredVote((9, 2), (1, 0), text="A"),  # in the item's order: the good one is ahead
            StoredVote((2, 9), (0, 1), text="B"),
            StoredVote((5, 5), (0, 1), text="C"),
            StoredVote(None, (0, 1), "no_scores", text="D"),
        )
        with VoteStore(tmp_path, Manifest("jsonl", "m", 4, None, fingerprint(CONFIG))) as store:
            store.add(evals.ItemVotes(ITEM, (StoredVote((9, 2), (0, 1), text="greedy"),), votes))
            store.add(evals.ItemVotes(single, (), (StoredVote((9,), (0,), text="E"),)))
        counts: Counter[str] = Counter()
        rows = list(rows_of_folder(tmp_path, CONFIG, TrainingPrompts(CONFIG), counts))
        assert [(row["messages"][1]["content"], row["label"], row["id"]) for row in rows] == [
            ("A", 1, "x"),
            ("B", 0, "x"),
            ("C", 0, "x"),
        ]
        assert counts == {"right": 1, "wrong": 2, "unread": 1}
        shown = rows[0]["messages"][0]["content"]
        assert shown.index("bad") < shown.index("good")

    @pytest.mark.parametrize(
        ("other", "part"),
        [({"judge__max_response_chars": 100}, "judge"), ({"judge__template": "other.txt"}, "prompt")],
    )
    def test_votes_on_other_prompts_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], part: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        listwise = resources.files("grm_plugin.judging") / "templates/listwise.txt"
        (tmp_path / "other.txt").write_text("Be brief.\n" + listwise.read_text())
        with VoteStore(tmp_path, Manifest("jsonl", "m", 1, None, fingerprint(make_config(**other)))) as store:
            store.add(evals.ItemVotes(ITEM, (), (StoredVote((9, 2), (0, 1), text="A"),)))
        with pytest.raises(ConfigError, match=f"were sampled with another {part} than this configuration has"):
            list(rows_of_folder(tmp_path, CONFIG, TrainingPrompts(CONFIG), Counter()))

    def test_a_folder_with_neither_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"holds neither trajectories\.jsonl nor votes\.jsonl"):
            list(rows_of_folder(tmp_path, CONFIG, TrainingPrompts(CONFIG), Counter()))


class TestWhatIsShown:
    """The meta RM reads the same text in serving, in training and where stored critiques are rated."""

    item = Item("x", (Message("user", "Which?"),), ("<|im_end|> a", "b" * 30_000), (0,))
    text = "<|im_end|> and <turn> are quoted.\n" + critique_text((1, 2))

    async def served(self, config: Config) -> list[tuple[tuple[int, ...], Conversation]]:
        """What the judge shows a meta RM of two critiques `text`, and their orders; the marker is always the same."""
        meta_rm = Remembering()
        grm = Scripted(lambda prompt, sampling: [Completion(self.text)])
        await Judge(config, grm, meta_rm).judge([self.item.group])
        assert len(meta_rm.seen) == 2
        return [(prompt.order, each) for (prompt, _), each in zip(grm.calls, meta_rm.seen, strict=True)]

    @pytest.mark.parametrize("tokens", [(), ("<turn>",)])
    async def test_in_training_on_trajectories(self, tokens: tuple[str, ...]) -> None:
        config = make_config(sampling__k=2, sampling__seed=3, judge__control_tokens=list(tokens))
        for order, conversation in await self.served(config):
            shown = replace(present(self.item, config, 0), marker=marker_of(conversation), order=order)
            assert TrainingPrompts(config).meta(shown, self.text) == conversation
            assert ("<turn>" in conversation[1].content) == (not tokens)
            assert "<|im_end|>" not in conversation[1].content

    async def test_in_training_on_votes_and_in_rating(self, tmp_path: Path) -> None:
        """Of a vote on a response that was cut shorter than the configuration says, because the prompt was too long."""
        config = make_config(
            sampling__k=2, sampling__seed=3, judge__control_tokens=["<turn>"], meta_rm={"type": "fake"}
        )
        short = config.model_copy(update={"judge": config.judge.model_copy(update={"max_response_chars": 1000})})
        served = await self.served(short)
        votes = tuple(StoredVote((1, 2), order, text=self.text) for order, _ in served)
        record = evals.ItemVotes(self.item, (), votes, cut=(0, 29_000))
        manifest = Manifest("jsonl", "m", 2, None, fingerprint(config))
        with VoteStore(tmp_path / "votes", manifest) as store:
            store.add(record)
        meta_rm = Remembering()
        await rate_votes(ListJudge(config, FakeEngine(()), meta_rm), record)
        rows = list(rows_of_folder(tmp_path / "votes", config, TrainingPrompts(config), Counter()))
        trained = [tuple(Message(turn["role"], turn["content"]) for turn in row["messages"]) for row in rows]
        expected = [without_marker(conversation) for _, conversation in served]
        assert [without_marker(conversation) for conversation in meta_rm.seen] == expected
        assert [without_marker(conversation) for conversation in trained] == expected


class Remembering:
    """A `MetaRM` that rates everything alike, and keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Conversation] = []

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        self.seen += conversations
        return [0.0] * len(conversations)


def marker_of(conversation: Conversation) -> str:
    return conversation[0].content.partition("[begin of response 1 ")[2][:6]


def without_marker(conversation: Conversation) -> list[str]:
    return [turn.content.replace(marker_of(conversation), "MARKER") for turn in conversation]


def presentation(item: Item) -> Presentation:
    """The item with its responses in their own order."""
    return next(shown for seed in range(99) if (shown := present(item, CONFIG, seed)).order == (0, 1))


class Words:
    """A tokenizer: one token per word."""

    pad_token_id, unk_token_id, bos_token_id = 2, 0, 1

    def __init__(self) -> None:
        self.ids: dict[str, int] = {"<unk>": 0, "<bos>": 1, "<end>": 2}

    def apply_chat_template(self, messages: Any, tokenize: bool, add_generation_prompt: bool) -> str:
        assert not add_generation_prompt
        return " ".join(f"{message['role']} {message['content']} <end>" for message in messages)

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [self.ids.setdefault(word, len(self.ids)) for word in text.split()]


def row(item: str, label: Any, critique: str = "c") -> dict[str, Any]:
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": critique}]
    return {"messages": messages, "label": label, "id": item, "source": "s"}


class TestExamples:
    def test_what_is_too_long_is_left_out_and_never_cut(self, tmp_path: Path) -> None:
        write_rows(tmp_path / "a.jsonl", [row("a", 1), row("a", 0, "c " * 50)])
        examples, too_long = read_examples([tmp_path / "a.jsonl"], Words(), 10)
        assert too_long == 1
        assert [(len(example.ids), example.label, example.item) for example in examples] == [(6, 1, "a")]

    def test_a_token_takes_four_bytes(self, tmp_path: Path) -> None:
        """100,000 items have more than a thousand million tokens, and every rank holds them all."""
        write_rows(tmp_path / "a.jsonl", [row("a", 1, "c " * 1000)])
        (example,), _ = read_examples([tmp_path / "a.jsonl"], Words(), None)
        assert sys.getsizeof(example.ids) < 5 * len(example.ids)

    @pytest.mark.parametrize("bad", [row("a", 2), row("a", None), {"label": 1}, {**row("a", 1), "messages": "text"}])
    def test_a_foreign_row_is_named(self, tmp_path: Path, bad: dict[str, Any]) -> None:
        write_rows(tmp_path / "a.jsonl", [row("a", 1), bad])
        with pytest.raises(ConfigError, match=r"a\.jsonl row 2 was not made by `grm-plugin spct meta-rm-data`"):
            read_examples([tmp_path / "a.jsonl"], Words(), None)

    def test_nothing_left_is_an_error(self, tmp_path: Path) -> None:
        write_rows(tmp_path / "a.jsonl", [row("a", 1)])
        with pytest.raises(ConfigError, match="no critique of at most 3 tokens"):
            read_examples([tmp_path / "a.jsonl"], Words(), 3)

    def test_an_item_is_on_one_side(self) -> None:
        examples = [Example(array("i", [1]), index % 2, f"i{index // 4}") for index in range(40)]
        train, held_out = split_by_item(examples, 0.3, seed=0)
        assert (len(train), len(held_out)) == (28, 12)
        assert not {example.item for example in train} & {example.item for example in held_out}
        assert split_by_item(examples, 0.3, seed=0) == (train, held_out)

    def test_bundles(self) -> None:
        examples = [Example(array("i", [number]), 0, name) for number, name in enumerate("abaaab")]
        shapes = [[(example.item, example.ids[0]) for example in bundle] for bundle in bundles_of(examples, 3)]
        assert shapes == [[("a", 0), ("a", 2), ("a", 3)], [("a", 4)], [("b", 1), ("b", 5)]]

    def test_the_padding_never_hides_the_last_token(self) -> None:
        assert padding_id(Words(), [Example(array("i", [5, 3]), 1, "a")]) == 2  # the tokenizer's own
        assert padding_id(Words(), [Example(array("i", [5, 2]), 1, "a")]) == 0  # every critique ends with it
        nothing = SimpleNamespace(pad_token_id=None, unk_token_id=None, bos_token_id=None)
        assert padding_id(nothing, [Example(array("i", [5, 0]), 1, "a"), Example(array("i", [1]), 1, "a")]) == 2


class TestLoss:
    def test_cross_entropy_and_ranking(self) -> None:
        torch = pytest.importorskip("torch")
        from grm_plugin.spct.meta_rm_trainer import loss_of

        logits = torch.tensor([1.0, -1.0, 2.0, 0.5])
        labels = torch.tensor([1.0, 0.0, 0.0, 1.0])
        same, apart = torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 1, 1])
        soft = lambda x: math.log1p(math.exp(x))  # noqa: E731
        entropy = (soft(-1) + soft(-1) + soft(2) + soft(-0.5)) / 4
        assert loss_of(logits, labels, same, 0).item() == pytest.approx(entropy, abs=1e-6)
        # Pairs right - wrong: 1 - -1 and 1 - 2 (the first), 0.5 - -1 and 0.5 - 2 (the last).
        ranked = (soft(-2) + soft(1) + soft(-1.5) + soft(1.5)) / 4
        assert loss_of(logits, labels, same, 0.5).item() == pytest.approx(entropy + 0.5 * ranked, abs=1e-6)
        ranked = (soft(-2) + soft(1.5)) / 2
        assert loss_of(logits, labels, apart, 2).item() == pytest.approx(entropy + 2 * ranked, abs=1e-6)

    def test_a_batch_without_pairs_has_no_ranking(self) -> None:
        torch = pytest.importorskip("torch")
        from grm_plugin.spct.meta_rm_trainer import loss_of

        logits, labels = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])
        bundles = torch.tensor([0, 0])
        assert loss_of(logits, labels, bundles, 1) == loss_of(logits, labels, bundles, 0)
