"""The store of votes: what it refuses, what reading it takes, and what tells two stores apart."""

from __future__ import annotations

import resource
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.batch.items import Item
from grm_plugin.batch.shown_lists import list_as_shown
from grm_plugin.batch.vote_store import ItemVotes, Manifest, VoteStore, read_store
from grm_plugin.config import JudgeConfig
from grm_plugin.engines.fingerprint import fingerprint
from grm_plugin.errors import ConfigError
from grm_plugin.evals.analysis import analyse
from grm_plugin.judging.sanitizing import sanitize
from grm_plugin.types import Message
from support.factories import make_config
from support.vote_factories import make_item, make_record, vote

MANIFEST = Manifest("jsonl", "a model", 8, None, {"engine": "e", "prompt": "p"})


async def test_a_store_of_another_run_is_refused(tmp_path: Path) -> None:
    VoteStore(tmp_path, MANIFEST).close()
    with pytest.raises(
        ConfigError, match=r"differs in judge \(generative, now scalar\), prompt: give another --output"
    ):
        VoteStore(tmp_path, replace(MANIFEST, judge="scalar", fingerprint={"engine": "e", "prompt": "q"}))
    with pytest.raises(ConfigError, match="differs in meta_rm"):
        VoteStore(tmp_path, replace(MANIFEST, fingerprint={**MANIFEST.fingerprint, "meta_rm": "m"}))
    with VoteStore(tmp_path, MANIFEST), pytest.raises(ConfigError, match="in use by another run"):
        VoteStore(tmp_path, MANIFEST)


def test_votes_on_another_item_of_the_same_id_are_refused(tmp_path: Path) -> None:
    with VoteStore(tmp_path, MANIFEST) as store:
        store.add(make_record([vote(9, 1)], name="same"))
    with VoteStore(tmp_path, MANIFEST) as store:
        store.require_same_items([make_item("same"), make_item("new")])
        with pytest.raises(ConfigError, match="has votes on another item with the id 'same': give another --output"):
            store.require_same_items([make_item("same", best=1)])


def test_a_full_disk_stops_and_keeps_what_is_there(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with VoteStore(tmp_path, MANIFEST) as store:
        store.add(make_record([vote(9, 1)], name="first"))
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "votes.jsonl").stat().st_size + 20, hard))
        try:
            with pytest.raises(ConfigError, match="cannot be written: File too large"):
                store.add(make_record([vote(9, 1)], name="second"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with VoteStore(tmp_path, replace(MANIFEST, k=1)) as store:
        assert store.done == {"first"}


def test_votes_can_be_added_to_items_and_are_read_as_one(tmp_path: Path) -> None:
    first, more = [vote(9, 1, text="a"), vote(text="b")], [vote(2, 3, text="c")]
    with VoteStore(tmp_path, replace(MANIFEST, k=2)) as store:
        store.add(make_record(first, greedy=[vote(5, 4)], name="x"))
        store.add(make_record(first, name="y"))
        assert store.done == {"x", "y"}
    with VoteStore(tmp_path, replace(MANIFEST, k=3)) as store:
        assert (store.done, store.drawn("x"), store.drawn("z")) == (set(), 2, 0)
        store.require_same_items([make_item("x")])
        store.add(make_record(more, name="x"))
        assert (store.done, store.drawn("x")) == ({"x"}, 3)
        store.want({"y": 2})
        assert store.done == {"x", "y"}
    manifest, records = read_store(tmp_path)
    assert manifest.k == 2
    assert records == [
        make_record([*first, *more], greedy=[vote(5, 4)], name="x"),
        make_record(first, name="y"),
    ]
    with VoteStore(tmp_path, replace(MANIFEST, k=1)) as store:
        assert store.done == {"x", "y"}


def test_a_half_row_of_further_votes_costs_these_only(tmp_path: Path) -> None:
    with VoteStore(tmp_path, replace(MANIFEST, k=2)) as store:
        store.add(make_record([vote(9, 1)], name="x"))
        store.add(make_record([vote(9, 2)], name="x"))
    path = tmp_path / "votes.jsonl"
    path.write_bytes(path.read_bytes()[:-5])  # killed while it was written
    with VoteStore(tmp_path, replace(MANIFEST, k=2)) as store:
        assert store.drawn("x") == 1
        store.add(make_record([vote(9, 3)], name="x"))
    assert read_store(tmp_path)[1] == [make_record([vote(9, 1), vote(9, 3)], name="x")]


def test_further_votes_need_their_item_as_it_was_shown(tmp_path: Path) -> None:
    with VoteStore(tmp_path, MANIFEST) as store:
        store.add(make_record([vote(9, 1)], name="x"))
        with pytest.raises(ConfigError, match="'x' was shown to the GRM cut to another length"):
            store.add(replace(make_record([vote(9, 1)], name="x"), cut=(0, 7)))
    with (tmp_path / "votes.jsonl").open("a") as stream:
        stream.write('{"evals": 1, "more": "gone", "votes": []}\n')
    for read in (read_store, lambda folder: VoteStore(folder, MANIFEST)):
        with pytest.raises(ConfigError, match="line 3 is damaged"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ('{"id": 1}\n', "is not a vote store"),
        ('{"evals": 99}\n', "another version"),
        (None, "cannot be read"),
        ("damaged", "line 2 is damaged"),
    ],
)
def test_a_file_that_is_no_store_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content == "damaged":
        VoteStore(tmp_path, MANIFEST).close()
        with (tmp_path / "votes.jsonl").open("a") as stream:
            stream.write('{"evals": 1, "item": {}}\n')
    elif content is not None:
        (tmp_path / "votes.jsonl").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_store(tmp_path)


def test_a_store_is_read_line_by_line_and_without_its_texts_where_figures_are_all_that_is_wanted(
    tmp_path: Path,
) -> None:
    records = [make_record([vote(9, 1, text="x" * 100_000)], name=str(number)) for number in range(100)]
    with VoteStore(tmp_path, MANIFEST) as store:
        for record in records:
            store.add(record)
    tracemalloc.start()
    try:
        manifest, found = read_store(tmp_path, texts=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000  # the file has 10 MB
    assert (manifest, len(found)) == (MANIFEST, 100)
    assert {given.text for record in found for given in record.votes} == {""}
    assert read_store(tmp_path) == (MANIFEST, records)


def test_a_store_without_items_has_no_report() -> None:
    with pytest.raises(ConfigError, match="holds no item yet"):
        analyse(MANIFEST, [])


def test_a_fingerprint_tells_models_prompts_and_sampling_apart_and_nothing_else(tmp_path: Path) -> None:
    for name, weights in (("a", b"1" * 3_000_000), ("b", b"1" * 2_999_999 + b"2"), ("c", b"1" * 3_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    (tmp_path / "template.txt").write_text("{{ query }}")
    (tmp_path / "criteria.txt").write_text("{{ query }}")

    def parts(**overrides: Any) -> dict[str, str]:
        return fingerprint(
            make_config(
                engine={"type": "vllm", "model": str(tmp_path / "a")} | overrides.pop("engine", {}), **overrides
            )
        )

    def changed(**overrides: Any) -> set[str]:
        first, second = parts(), parts(**overrides)
        return {part for part in {*first, *second} if first.get(part) != second.get(part)}

    assert changed(engine={"model": str(tmp_path / "b")}) == {"engine"}
    assert changed(engine={"model": str(tmp_path / "c")}) == set()
    assert changed(engine={"replicas": 3, "gpu_memory_utilization": 0.5}, sampling__k=4) == set()
    assert changed(engine={"chat_template_kwargs": {"enable_thinking": False}}) == {"engine"}
    assert changed(sampling__temperature=0.9) == {"sampling"}
    assert changed(meta_rm={"type": "fake"}) == {"meta_rm"}
    of_the_judge = {
        "preset": ("any_instruct", set()),
        "answer": ("brackets", {"judge", "prompt"}),
        "scale": ([0, 10], {"judge", "prompt"}),
        "pattern": (None, set()),
        "template": (str(tmp_path / "template.txt"), {"prompt", "template"}),
        "list_size": (2, set()),
        "blank_response": ("judge", set()),
        "decimals": ("accept", {"judge"}),
        "max_response_chars": (100, {"judge"}),
        "reasoning": ("strip", {"judge"}),
        "max_tool_chars": (100, {"judge"}),
        "use_reference": (False, {"judge"}),
        "control_tokens": (["<turn>"], {"judge"}),
        "invisible": ("keep", {"judge"}),
        "criteria": ([{"name": "right", "text": "Is it right?"}], {"judge", "template"}),
        "criteria_template": (str(tmp_path / "criteria.txt"), {"judge", "template"}),
        "principles": ("Be brief.", {"judge"}),
        "principles_of": ({"math": "Be right."}, {"judge"}),
        "overall": ({"weight": 2}, set()),
        "rule_timeout_s": (1, set()),
        "rule_workers": (7, set()),
        "mode": ("tiebreak", set()),
    }
    of_a_mode = {"comparisons", "pair_rewards", "tiebreak"}
    assert {*of_the_judge, *of_a_mode} == set(JudgeConfig.model_fields), "does a vote depend on the new key?"
    assert changed(judge__mode="pairwise", judge__comparisons="circular", judge__pair_rewards="borda") == set()
    assert changed(judge__mode="tiebreak", judge__tiebreak={"flip": 0.1}) == set()
    for key, (value, parts_of_it) in of_the_judge.items():
        assert changed(**{f"judge__{key}": value}) == parts_of_it, key
    regex = {"judge__answer": "regex", "judge__list_size": 1, "judge__template": str(tmp_path / "template.txt")}
    one, other = (parts(**regex, judge__pattern=pattern) for pattern in (r"(\d)", r"(\d+)"))
    assert {part for part in one if one[part] != other[part]} == {"judge"}
    pairs = parts(judge__preset="rm_r1")
    assert pairs["prompt"] != parts(judge__preset="skywork_critic")["prompt"]
    assert pairs["judge"] == parts(judge__preset="skywork_critic")["judge"] != parts()["judge"]


@pytest.mark.parametrize("limit", [24_000, 12_000, 750])
def test_a_list_is_shown_again_as_the_judge_had_to_cut_it(limit: int) -> None:
    """Also where reasoning is left out, so that what was cut does not tell the length to which it was cut."""
    config = make_config(judge__reasoning="strip").judge
    texts = ("<think>" + "r" * 9_000 + "</think>" + "a" * 30_000, "b" * 5_000)
    item = Item("x", (Message("user", "Which?"),), texts, (0,))
    shown, cut = sanitize(item.group, (0, 1), config, limit)
    again = list_as_shown(ItemVotes(item, (), (), cut), config)
    assert (again.group, again.cut) == (shown, cut)
