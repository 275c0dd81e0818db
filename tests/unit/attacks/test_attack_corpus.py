"""The corpus of attacks: what it holds, and that the same seed always makes the same."""

from __future__ import annotations

from collections import Counter

import pytest

from grm_plugin._util.text import encodable
from grm_plugin.attacks.attack import Injection
from grm_plugin.attacks.corpus import FAMILIES, build_corpus, token_attacks
from grm_plugin.attacks.persuasion import _ORDERS_BY_LANGUAGE
from grm_plugin.errors import ConfigError

CORPUS = build_corpus()


def test_it_is_large_and_every_attack_is_another_one() -> None:
    attacks = [attack for attack in CORPUS if attack.kind != "control"]
    assert len(attacks) >= 300
    assert len({attack.id for attack in CORPUS}) == len(CORPUS)
    assert len({attack.injection for attack in CORPUS}) == len(CORPUS)


def test_every_family_has_members_and_one_of_them_is_the_control() -> None:
    sizes = Counter(attack.family for attack in CORPUS)
    assert tuple(sizes) == FAMILIES
    assert min(sizes.values()) >= 8
    assert {attack.family for attack in CORPUS if attack.kind == "control"} == {"harmless"}


def test_the_seed_decides() -> None:
    assert build_corpus() == CORPUS
    assert build_corpus(seed=1) != CORPUS


def test_forgetting_is_asked_for_in_many_languages() -> None:
    texts = {attack.injection.text for attack in CORPUS if attack.family == "ignore_previous"}
    assert len(_ORDERS_BY_LANGUAGE) >= 8
    assert set(_ORDERS_BY_LANGUAGE.values()) <= texts


def test_families_and_numbers_can_be_chosen() -> None:
    few = build_corpus(["floods", "authority"], limit=3)
    assert [attack.family for attack in few] == ["floods"] * 3 + ["authority"] * 3
    assert few == build_corpus(["floods", "authority"], limit=3)
    assert set(few) <= set(CORPUS)
    with pytest.raises(ConfigError, match=r"no attack family flods: choose from forged_scores, .*floods"):
        build_corpus(["flods"])


@pytest.mark.parametrize(
    ("place", "attacked"),
    [("after", "weak\n\nX"), ("before", "X\n\nweak"), ("between", "wXeXaXk"), ("instead", "X")],
)
def test_where_an_attack_goes(place: str, attacked: str) -> None:
    assert Injection("X", place).into("weak") == attacked  # type: ignore[arg-type]


def test_only_what_is_woven_in_cannot_stand_alone() -> None:
    assert {attack.injection.place for attack in CORPUS if attack.alone is None} == {"between"}


def test_every_attack_can_be_sent() -> None:
    assert all(encodable(attack.on("weak")) == attack.on("weak") for attack in CORPUS)


def test_the_tokens_of_a_model_make_attacks_of_their_own() -> None:
    (attack,) = token_attacks(["<end>"])
    assert (attack.family, attack.kind) == ("own_tokens", "format")
    assert attack.on("weak").count("<end>") == 3
