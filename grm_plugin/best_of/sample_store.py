"""The store of `grm-plugin sample`: a JSONL file of problems with their samples, which a killed run goes on with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from grm_plugin.batch.append_only import AppendOnlyFile
from grm_plugin.batch.input_lines import parse_line
from grm_plugin.best_of.problems import Problem, problem_of, row_of
from grm_plugin.best_of.reading import FILE_NAME, MARK
from grm_plugin.engines.fingerprint import differing
from grm_plugin.errors import ConfigError, WireError

FORMAT = 1


class SampleStore(AppendOnlyFile):
    """A store that is open for adding samples. Only one process may have it open at a time.

    The first row names the policy and what the samples depend on. Every other row is a problem in the published form,
    or further samples of a problem of an earlier row.

    Args:
        folder: of the store.
        policy: what reports call the policy.
        fingerprint: part -> digest, of what the samples are drawn with now.
        n: samples wanted per problem.

    Attributes:
        done: the ids of the problems that have n samples.

    Raises:
        ConfigError: the file cannot be written, is in use, is something else, or holds the samples of another policy
            or of other settings.
    """

    def __init__(self, folder: Path, policy: str, fingerprint: Mapping[str, str], n: int) -> None:
        self.n = n
        self.done: set[str] = set()
        self._policy, self._fingerprint = policy, dict(fingerprint)
        self._begun = False
        self._drawn: dict[str, int] = {}
        self._digests: dict[str, str] = {}
        super().__init__(folder / FILE_NAME, f'{{"{MARK}": '.encode(), self._on_row)
        if not self._begun:
            self.append({MARK: FORMAT, "policy": policy, "fingerprint": self._fingerprint})

    def drawn(self, name: str) -> int:
        """How many samples the problem with this id has."""
        return self._drawn.get(name, 0)

    def require_same(self, problems: Iterable[Problem]) -> None:
        """Check that the ids with samples still stand for the same prompts.

        Raises:
            ConfigError: the store has samples of another prompt with the id of one of these.
        """
        for problem in problems:
            if self._digests.get(problem.id) not in (None, problem.asked_digest):
                raise ConfigError(
                    f"{self.path} has samples of another prompt with the id {problem.id!r}: give another --output, or "
                    "the problem another id"
                )

    def add(self, record: Problem) -> None:
        """Add new samples of a problem. They are safe from kill -9 on return.

        Raises:
            ConfigError: the disk is full, or gone.
        """
        self.append({MARK: FORMAT, **row_of(record)})
        self._count(record)

    def _on_row(self, text: bytes, number: int) -> None:
        try:
            row = parse_line(text)
            if not isinstance(row, dict) or row.pop(MARK, None) != FORMAT:
                raise WireError("it is of another kind or version")
            if number == 1:
                self._require_this_policy(str(row["policy"]), row["fingerprint"])
                self._begun = True
                return
            self._count(problem_of(row))
        except (WireError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{self.path} line {number} is no row of `grm-plugin sample` ({error}): give another --output"
            ) from None

    def _require_this_policy(self, policy: str, fingerprint: Mapping[str, str]) -> None:
        parts = differing(fingerprint, self._fingerprint)
        if parts:
            raise ConfigError(
                f"{self.path} holds samples of another policy or of other settings ({policy}, now "
                f"{self._policy}; {', '.join(parts)} differ): give another --output"
            )

    def _count(self, problem: Problem) -> None:
        self._digests[problem.id] = problem.asked_digest
        self._drawn[problem.id] = self.drawn(problem.id) + len(problem.samples)
        if self._drawn[problem.id] >= self.n:
            self.done.add(problem.id)
