"""Labels: what is missing, what is a reference, and objects that hold a rubric too."""

from __future__ import annotations

from collections import deque
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from grm_plugin.conversation.labels import NO_LABEL, Label, as_reference, is_missing, read_label
from grm_plugin.errors import PromptError


class NAType:
    """pandas.NA: it has no truth value, and compares with nothing."""

    def __repr__(self) -> str:
        return "NA"

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __eq__(self, other: object) -> NAType:  # type: ignore[override]
        return self

    def __ne__(self, other: object) -> NAType:  # type: ignore[override]
        return self

    __hash__ = object.__hash__


class NaTType:
    """pandas.NaT: it is not equal to itself."""

    def __repr__(self) -> str:
        return "NaT"

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__


MISSING = [
    *(None, float("nan"), np.float32("nan"), np.datetime64("NaT"), NAType(), NaTType(), Decimal("NaN")),
    *("", "  ", "\n", "\u200b\ufeff", "\u3164"),
    *([], {}, (), set(), deque(), np.array([]), np.array([np.nan]), np.array([None, ""], dtype=object)),
    *([""], [None], [[], {}], {"a": None}, {"a": [" ", {"b": float("nan")}]}, [NAType()]),
]


@pytest.mark.parametrize("label", MISSING, ids=repr)
def test_what_is_missing_is_no_reference(label: Any) -> None:
    assert is_missing(label)
    assert as_reference(label) is None
    assert read_label(label) == NO_LABEL
    assert read_label({"reference": label, "rubric": label}) == NO_LABEL


@pytest.mark.parametrize(
    ("label", "reference"),
    [
        ("plum", "plum"),
        (" plum\n", " plum\n"),
        ("nan", "nan"),
        ("[]", "[]"),
        (0, "0"),
        (False, "false"),
        (np.bool_(False), "false"),
        (np.int64(3), "3"),
        (np.array(["a", "b"]), '["a", "b"]'),
        (["à", None], '["à", null]'),
        ({"a": 1}, '{"a": 1}'),
        ('{"a": 1}', '{"a": 1}'),
        ('{"reference": "a"', '{"reference": "a"'),
        ("{" * 100_000, "{" * 100_000),
        ("half \ud83d", "half \ufffd"),
        ([[[[1]]]], "[[[[1]]]]"),
        (Decimal("3.50"), "3.50"),
        (date(2020, 1, 31), "2020-01-31"),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
    ],
)
def test_what_is_a_reference(label: Any, reference: str) -> None:
    assert not is_missing(label)
    assert as_reference(label) == reference
    assert read_label(label) == Label(reference)


@pytest.mark.parametrize(
    ("label", "rubric", "texts"),
    [
        ({"reference": "plum", "rubric": "Be brief."}, None, ("plum", "Be brief.")),
        ('{"reference": "plum", "rubric": "Be brief."}', None, ("plum", "Be brief.")),
        (' \n{"rubric": "Be brief."} ', "", (None, "Be brief.")),
        ({"reference": 7}, float("nan"), ("7", None)),
        ({"reference": ["a"], "rubric": ["b", 1]}, None, ('["a"]', '["b", 1]')),
        ("plum", "Be kind.", ("plum", "Be kind.")),
        ({"rubric": "Be brief."}, "Be kind.", (None, "Be kind.\n\nBe brief.")),
        ({"rubric": "Be kind."}, "Be kind.", (None, "Be kind.")),
        ({"reference": np.array([1, 2])}, None, ("[1, 2]", None)),
    ],
)
def test_an_object_holds_a_reference_and_a_rubric(
    label: Any, rubric: Any, texts: tuple[str | None, str | None]
) -> None:
    assert read_label(label, rubric) == Label(*texts)


@pytest.mark.parametrize(
    "label",
    [
        {"reference": "plum", "rubrik": "x"},
        '{"reference": "plum", "rubrik": "x"}',
        {"rubric": "plum", "rubrik": None},
    ],
)
def test_an_unknown_field_beside_them_is_named(label: Any) -> None:
    with pytest.raises(
        PromptError,
        match=r"the label has the unknown field 'rubrik': .*may have reference, rubric, criteria, source only",
    ):
        read_label(label)


def test_a_key_that_stands_twice_in_a_label_is_named() -> None:
    with pytest.raises(PromptError, match="the label is an object in which the key 'reference' stands twice: keep one"):
        read_label('{"reference": "plum", "reference": "fig"}')


def test_a_label_nested_beyond_the_stack() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert as_reference(deep) is None
    full: list[Any] = [1]
    for _ in range(100_000):
        full = [full]
    with pytest.raises(PromptError, match="nested too deeply"):
        as_reference(full)
