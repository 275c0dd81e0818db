"""What traces cost, and how fast the page is with 100,000 of them.

    python tests/benchmarks/bench_trace.py            # about fifteen minutes, 1.5 GB in a temporary folder
    python tests/benchmarks/bench_trace.py --groups 5000

Cost: rewards/s of two services, one with traces and one without, in turns on the same fake GRM; the median over the
rounds of the ratio. `--delay` is the GRM's time per request: with 0 the judge itself is all there is to compare with,
which no GRM reaches. Page: real requests to the page's app, median of 5.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from grm_plugin.config import FailureConfig, TraceConfig
from grm_plugin.config.loading import load_config
from grm_plugin.engines.fake import FakeEngine
from grm_plugin.serving.http.trace_app import page_app
from grm_plugin.serving.service import RewardService
from grm_plugin.trace.store_writer import StoreWriter
from grm_plugin.trace.stored_trace import Entry
from grm_plugin.types import (
    Completion,
    Critique,
    Group,
    Judgement,
    ListJudgement,
    Message,
    Prompt,
    Reward,
    Sampling,
    Vote,
)
from grm_plugin.wire.schemas import ScoreRequest

RESPONSES, VOTES, IN_FLIGHT = 4, 8, 64
PAGES = {
    "list": "/",
    "list, in the middle": "/?after={middle}",
    "list, search for a rare word": "/?q=word4987",
    "list, search for a word in every group": "/?q=word3",
    "list, rewards >= 0.9 and lost votes": "/?min=0.9&unparsed=1",
    "list, most disputed first": "/?sort=disputed",
    "one group": "/traces/{middle}",
    "live, nothing new": "/live?than={last}",
}


def sentences(rng: random.Random, count: int) -> list[str]:
    """Sentences of words with natural frequencies: word1 is everywhere, word5000 is rare."""
    words = [f"word{rank}" for rank in range(1, 5001)]
    weights = [1 / rank for rank in range(1, 5001)]
    return [" ".join(rng.choices(words, weights, k=14)) + "." for _ in range(count)]


def judgements(count: int) -> Iterator[Judgement]:
    """Groups of 4 responses of about 700 characters, with 8 critiques of about 1,400."""
    rng = random.Random(0)
    pool = sentences(rng, 20_000)

    def text(length: int) -> str:
        return " ".join(rng.choices(pool, k=length))

    for _ in range(count):
        critiques = tuple(
            Critique(
                tuple(float(rng.randint(1, 10)) for _ in range(RESPONSES)),
                (principles := text(4)) + (analysis := text(12)),
                principles,
                analysis,
                tuple(rng.sample(range(RESPONSES), RESPONSES)),
                sample,
                tokens=300,
            )
            for sample in range(VOTES)
        )
        votes = []
        for index in range(RESPONSES):
            scores = tuple(critique.scores[index] for critique in critiques)
            votes.append(Vote(scores, sum(scores), statistics.fmean(scores), statistics.pstdev(scores)))
        rewards = tuple(
            Reward(
                (vote.mean - 1) / 9, "ok", vote.mean, vote.total, vote.spread, (vote.mean - 1) / 9, VOTES, VOTES, VOTES
            )
            for vote in votes
        )
        group = Group((Message("user", text(3)),), tuple(text(8) for _ in range(RESPONSES)))
        members = tuple(range(RESPONSES))
        yield Judgement(group, rewards, (ListJudgement(members, tuple(votes), critiques, (), (0,) * RESPONSES),), 2.5)


def fill(path: Path, count: int) -> None:
    writer = StoreWriter(path, TraceConfig(path=str(path), max_groups=count, max_mb=100_000), FailureConfig())
    started = time.perf_counter()
    batch: list[Entry] = []
    for number, judgement in enumerate(judgements(count), 1):
        batch.append(Entry(1.7e9 + number * 2, "grm", judgement))
        if len(batch) == 500 or number == count:
            writer.write(batch)
            batch = []
    writer.close()
    took = time.perf_counter() - started
    size = path.stat().st_size
    print(f"store: {count:,} groups in {took:.0f} s, {size / 2**20:,.0f} MiB ({size / count / 1024:.1f} KiB per group)")


async def page(path: Path, groups: int) -> None:
    transport = httpx.ASGITransport(page_app(path))
    async with httpx.AsyncClient(transport=transport, base_url="http://page", timeout=120) as client:
        for name, address in PAGES.items():
            times = []
            for _ in range(6):  # the first one warms up
                started = time.perf_counter()
                reply = await client.get(address.format(middle=groups // 2, last=groups))
                times.append(time.perf_counter() - started)
                assert reply.status_code == 200, reply.text
            print(f"{name:38} {1000 * statistics.median(times[1:]):8.1f} ms")


def engine(delay_s: float) -> FakeEngine:
    """Critiques as long as real ones; making them costs next to nothing."""
    rng = random.Random(0)
    pool = sentences(rng, 2_000)
    texts = [
        f"Specific Criteria: {' '.join(rng.choices(pool, k=4))}\nAnalysis: {' '.join(rng.choices(pool, k=12))}\n"
        f"Scores: \\boxed{{{', '.join(str(rng.randint(1, 10)) for _ in range(RESPONSES))}}}"
        for _ in range(500)
    ]

    def script(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        return [Completion(text, tokens=300) for text in rng.choices(texts, k=sampling.n)]

    return FakeEngine(script, delay_s)


async def cost(folder: Path, delay_s: float, rounds: int, seconds: float) -> None:
    settings = {"engine": {"type": "fake"}, "sampling": {"k": VOTES}, "service": {"max_waiting": 100_000}}
    traced = RewardService(load_config({**settings, "trace": {"path": str(folder / "cost.db")}}), engine(delay_s))
    services = {"off": RewardService(load_config(settings), engine(delay_s)), "on": traced}
    speed: dict[str, list[float]] = {"off": [], "on": []}
    work: dict[str, list[float]] = {"off": [], "on": []}
    for turn in range(rounds + 1):
        for name in ("off", "on") if turn % 2 else ("on", "off"):
            busy, started = time.process_time(), time.perf_counter()
            groups = await judge_for(seconds, services[name])
            took = time.perf_counter() - started
            while traced.traces and traced.traces.status.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # the work on the last batch counts as work, and must not slow the next turn
            if turn:  # the first one warms up
                speed[name].append(groups * RESPONSES / took)
                work[name].append(1000 * (time.process_time() - busy) / groups)
    ratios = [on / off for on, off in zip(speed["on"], speed["off"], strict=True)]
    dropped = traced.traces.status.dropped if traced.traces else 0
    await traced.close()
    print(
        f"cost, GRM of {delay_s:g} s: {statistics.median(speed['off']):,.0f} rewards/s without traces, "
        f"{statistics.median(speed['on']):,.0f} with; ratio {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}); CPU per group {statistics.median(work['off']):.2f} ms without, "
        f"{statistics.median(work['on']):.2f} ms with; {dropped} dropped"
    )


async def judge_for(seconds: float, service: RewardService) -> int:
    """Keep `IN_FLIGHT` groups before the GRM for some seconds; how many were judged."""
    pool = sentences(random.Random(1), 500)
    until, judged = time.perf_counter() + seconds, 0

    async def one_after_another(worker: int) -> None:
        nonlocal judged
        rng = random.Random(worker)
        while time.perf_counter() < until:
            responses = [" ".join(rng.choices(pool, k=8)) for _ in range(RESPONSES)]
            group = {"prompt": " ".join(rng.choices(pool, k=3)), "responses": responses}
            await service.judge_groups(ScoreRequest.model_validate({"groups": [group]}))
            judged += 1

    await asyncio.gather(*(one_after_another(worker) for worker in range(IN_FLIGHT)))
    return judged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=100_000)
    parser.add_argument("--delay", type=float, nargs="*", default=[0.0, 1.0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="per round and service")
    parser.add_argument("--store", type=Path, help="keep the store here, or use the one that is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for delay_s in arguments.delay:
            asyncio.run(cost(Path(folder), delay_s, arguments.rounds, arguments.seconds))
        store = arguments.store or Path(folder) / "traces.db"
        if not store.exists():
            fill(store, arguments.groups)
        asyncio.run(page(store, arguments.groups))


if __name__ == "__main__":
    main()
