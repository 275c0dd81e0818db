"""The store's bounds, and everything that can be wrong with it when it is opened."""

import random
import sqlite3
from pathlib import Path

import pytest

from grm_plugin.config import FailureConfig, TraceConfig
from grm_plugin.errors import DamagedStore, GRMError, StoreError
from grm_plugin.trace.filters import Filter, Sort
from grm_plugin.trace.store_file import VERSION, open_reader, open_writer
from grm_plugin.trace.store_reader import StoreReader
from grm_plugin.trace.store_writer import StoreWriter
from grm_plugin.trace.stored_trace import Entry
from support.trace_factories import START, fill, judged, silent


def ids(store: StoreReader, chosen: Filter, limit: int = 100, after: int | None = None) -> list[int]:
    return [row.id for row in store.page(chosen, limit, after)]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> StoreReader:
    """1: rewards 0 and 1. 2: no votes, both rewards 0.5. 3: reward 4/9, about cats."""
    path = tmp_path_factory.mktemp("traces") / "three.db"
    return StoreReader(
        fill(path, [judged("1", "10"), judged("2", "2", generator=silent()), judged("5 cats", question="Hm?")])
    )


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Filter(), [3, 2, 1]),
        (Filter(min_reward=0.9), [1]),
        (Filter(max_reward=0.45), [3, 1]),
        (Filter(min_spread=0.1), []),
        (Filter(min_spread=0), [3, 1]),
        (Filter(unparsed=True), [2]),
        (Filter(fallback=True), [2]),
        (Filter(text="cats"), [3]),
        (Filter(text="ca"), []),
        (Filter(text="ca*"), [3]),
        (Filter(text='"rather not"'), [2]),
        (Filter(text='"not rather"'), []),
        (Filter(text="CRITERIA correct"), [3, 1]),
        (Filter(sort=Sort.HIGHEST), [1, 2, 3]),
        (Filter(sort=Sort.LOWEST), [1, 3, 2]),
        (Filter(fallback=True, text="cats"), []),
    ],
    ids=str,
)
def test_filters(three: StoreReader, chosen: Filter, expected: list[int]) -> None:
    assert ids(three, chosen) == expected
    assert three.count(chosen) == len(expected)
    assert [row.id for row, _ in three.export(chosen)] == sorted(expected)


@pytest.mark.parametrize("sort", Sort)
def test_pages_and_neighbours_follow_the_order(three: StoreReader, sort: Sort) -> None:
    chosen = Filter(sort=sort)
    everything = ids(three, chosen)
    assert sorted(everything) == [1, 2, 3]
    assert [ids(three, chosen, 1, after) for after in (None, *everything)] == [[each] for each in everything] + [[]]
    assert [three.neighbours(chosen, each) for each in everything] == [
        (None, everything[1]),
        (everything[0], everything[2]),
        (everything[1], None),
    ]


def test_what_is_newer(three: StoreReader) -> None:
    assert [row.id for row in three.newer(Filter(), 1, 10)] == [3, 2]
    assert [row.id for row in three.newer(Filter(fallback=True), 1, 10)] == [2]
    assert three.newest() == 3


def test_a_group_that_is_not_there(three: StoreReader) -> None:
    assert three.row(99) is None
    assert three.trace(99) is None
    assert three.neighbours(Filter(), 99) == (None, None)


def test_chinese_is_found_within_a_run(tmp_path: Path) -> None:
    store = StoreReader(fill(tmp_path / "a.db", [judged("5", question="请解释什么是光合作用。"), judged("5")]))
    assert ids(store, Filter(text="光合作用")) == [1]
    assert ids(store, Filter(text="作光")) == []


@pytest.mark.parametrize(("bound", "kept"), [({"max_groups": 5}, range(1, 6)), ({"max_mb": 1}, range(1, 40))])
def test_the_store_stays_within_its_bounds_and_drops_the_oldest(
    tmp_path: Path, bound: dict[str, float], kept: range
) -> None:
    path = tmp_path / "a.db"
    writer = StoreWriter(path, TraceConfig(path=str(path), **bound), FailureConfig())  # type: ignore[arg-type]
    for number in range(60):
        noise = random.Random(number).randbytes(30_000).hex()  # so that it does not compress away
        writer.write([Entry(START + number, "grm", judged(f"5 unique{number} {noise}"))])
    writer.close()
    store = StoreReader(path)
    rows = ids(store, Filter())
    assert rows[0] == 60
    assert len(rows) in kept
    assert rows == list(range(60, 60 - len(rows), -1)), "the newest are kept, without holes"
    assert ids(store, Filter(text="unique59")) == [60]
    assert ids(store, Filter(text="unique3")) == []
    assert store.trace(1) is None
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT count(*) FROM bodies").fetchone() == (len(rows),)


def test_the_last_group_stays_however_large(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    writer = StoreWriter(path, TraceConfig(path=str(path), max_mb=1), FailureConfig())
    huge = judged("5 " + "".join(chr(0x4E00 + i * i % 20_000) for i in range(2_000_000)))
    writer.write([Entry(START, "grm", huge)])
    writer.close()
    trace = StoreReader(path).trace(1)
    assert trace is not None
    assert trace.judgement == huge


@pytest.mark.parametrize(
    ("version", "words"),
    [(VERSION + 1, r"newer grm_plugin.*update grm_plugin"), (VERSION - 1, r"older grm_plugin.*move it away")],
)
def test_a_store_from_another_version_is_refused(tmp_path: Path, version: int, words: str) -> None:
    path = fill(tmp_path / "a.db", [judged("5")])
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    for use in (open_writer, open_reader):
        with pytest.raises(StoreError, match=words):
            use(path)


@pytest.mark.parametrize("content", [b"not a database, but long enough " * 200, b"short"])
def test_another_file_is_no_store(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    for use in (open_writer, open_reader):
        with pytest.raises(DamagedStore, match=r"a\.db"):
            use(path)
    assert path.read_bytes() == content, "it is left as it was"


def test_another_database_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    for use in (open_writer, open_reader):
        with pytest.raises(DamagedStore, match="no trace store"):
            use(path)
    assert path.read_bytes() == before


def test_a_broken_store_says_so(tmp_path: Path) -> None:
    path = fill(tmp_path / "a.db", [judged("5")] * 50)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x77" * (len(content) - 4096))
    for use in (open_writer, open_reader):
        with pytest.raises(DamagedStore, match="is damaged"):
            use(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"trace\.path: cannot write .*choose a folder"):
        open_writer(tmp_path / "file" / "a.db")


def test_a_folder_in_the_place_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"trace\.path: cannot write"):
        open_writer(tmp_path)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no trace store"):
        open_reader(tmp_path / "none.db")
    assert issubclass(StoreError, GRMError)


def test_a_query_that_takes_too_long_is_ended(three: StoreReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.trace.store_reader.QUERY_S", 0.05)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(StoreError, match="too long"):
        three.select(endless, [])
    assert ids(three, Filter()) == [3, 2, 1]
