import sqlite3
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grm_plugin.trace.filter_query import filter_of, group_number, query_of
from grm_plugin.trace.filters import Filter, Sort, to_match

numbers = st.none() | st.floats(-1000, 1000).map(lambda value: float(f"{value:g}"))
filters = st.builds(
    Filter,
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(str.strip),
    min_reward=numbers,
    max_reward=numbers,
    min_spread=numbers,
    unparsed=st.booleans(),
    fallback=st.booleans(),
    sort=st.sampled_from(Sort),
)


@pytest.fixture(scope="module")
def index() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("CREATE VIRTUAL TABLE search USING fts5(text)")
    return connection


@given(st.text(max_size=40))
@example('"unclosed AND (NEAR')
@example('a" OR "b')
@example("* ^ : - NOT")
def test_what_a_reader_types_is_never_a_syntax_error(index: sqlite3.Connection, text: str) -> None:
    match = to_match(text).encode("utf-8", "replace").decode()
    if match:
        index.execute("SELECT rowid FROM search WHERE search MATCH ?", [match]).fetchall()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  ", ""),
        ("!?", ""),
        ("sky", '"sky"'),
        ("blue sky", '"blue" AND "sky"'),
        ("blue sk*", '"blue" AND "sk"*'),
        ("* **", ""),
        ('"blue sky"', '"blue sky"'),
        ("x^2", '"x 2"'),
        ("光合", '"光 合"'),
    ],
)
def test_search_expressions(text: str, expected: str) -> None:
    assert to_match(text) == expected


@given(filters)
def test_a_filter_survives_the_address(chosen: Filter) -> None:
    query = query_of(chosen)
    assert query == "" or query.startswith("?")
    assert filter_of(dict(parse_qsl(query[1:]))) == chosen


@given(st.dictionaries(st.sampled_from(["q", "min", "max", "spread", "unparsed", "sort"]), st.text(max_size=10)))
@example({"min": "nan", "max": "inf", "spread": "1e999", "sort": "drop table"})
def test_any_address_is_a_filter(query: dict[str, str]) -> None:
    chosen = filter_of(query)
    assert all(value is None or abs(value) < float("inf") for value in (chosen.min_reward, chosen.max_reward))
    query_of(chosen)


@pytest.mark.parametrize(
    ("text", "expected"), [("12", 12), ("", None), (None, None), ("-1", None), ("²", None), ("9" * 30, None)]
)
def test_numbers_of_groups(text: str | None, expected: int | None) -> None:
    assert group_number(text) == expected


def test_an_unset_filter_leaves_nothing_out() -> None:
    assert not Filter().restricts
    assert not Filter(sort=Sort.LOWEST, text="!?").restricts
    assert Filter(min_reward=0.0).restricts
