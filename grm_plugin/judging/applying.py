"""What of the configuration applies to a group: the criteria, the principles and the rules for its source."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

from grm_plugin._util.log_once import OncePerMinute
from grm_plugin._util.text import shows_nothing
from grm_plugin._util.text_files import read_text
from grm_plugin.config import JudgeConfig
from grm_plugin.config.criteria import PrinciplesText, problem_with
from grm_plugin.errors import ConfigError, GroupError
from grm_plugin.types import Group

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""So often, at most, it is looked whether the file of the principles has changed."""

MOST_CHARS = 50_000
"""Longest principles: more leave no room for what is judged."""


class Applying:
    """Adds to groups what the configuration has for them.

    Raises:
        ConfigError: the file of the principles cannot be read, is empty or too long.
    """

    def __init__(self, judge: JudgeConfig) -> None:
        self._judge = judge
        self._principles = _text_of(judge.principles, "judge.principles") if judge.principles else None
        self._principles_of = {
            source: _text_of(text, f"judge.principles_of.{source}") for source, text in judge.principles_of.items()
        }

    def applied(self, group: Group) -> Group:
        """The group with its criteria, those of its own before those of the configuration, and its principles.

        Raises:
            GroupError: it brings criteria that it cannot be scored by, or that this GRM cannot score, or one with the
                name of a rule.
        """
        own = group.criteria
        if own:
            if self._judge.pairs:
                raise GroupError("the GRM compares pairs, and gives no scores for criteria: send none, or use another")
            if problem := problem_with(own):
                raise GroupError(problem)
            if any(criterion.kind == "rule" for criterion in own):
                raise GroupError(
                    "a criterion of kind rule is named in the configuration (judge.criteria), never in data"
                )
            rules = {rule.name for rule in self._judge.rules_for(group.source)}
            if taken := next((criterion.name for criterion in own if criterion.name in rules), None):
                raise GroupError(f"criterion {taken!r} has the name of a rule in judge.criteria: rename one of them")
        text = self._principles_of.get(group.source or "", self._principles)
        criteria = own or self._judge.criteria_for(group.source)
        if criteria == own and text is None:
            return group
        return replace(group, criteria=criteria, principles=text.now() if text else None)


def _text_of(principles: PrinciplesText, key: str) -> _Text:
    return _File(principles.file, key) if principles.file is not None else _Text(principles.text or "")


class _Text:
    """Principles that stay as they are."""

    def __init__(self, text: str) -> None:
        self._text = text

    def now(self) -> str:
        return self._text


class _File(_Text):
    """Principles in a file, read again when it has changed; one that is damaged meanwhile leaves them as they were."""

    def __init__(self, path: str, key: str) -> None:
        self._path, self._key = Path(path), key
        self._looked = time.monotonic()
        self._stamp = self._stamp_now()
        self._damaged = OncePerMinute(logger)
        super().__init__(self._read())

    def now(self) -> str:
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._looked = time.monotonic()
            self._look()
        return self._text

    def _look(self) -> None:
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        try:
            self._text = self._read()
        except ConfigError as error:
            self._damaged.warning("the principles stay as they were: %s", error)
        else:
            self._stamp = stamp
            logger.info("%s: read again, for groups from now on", self._key)

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> str:
        try:
            text = read_text(self._path).strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._key}.file: {self._path} cannot be read: {error}") from None
        if shows_nothing(text):
            raise ConfigError(f"{self._key}.file: {self._path} is empty: write what is to be judged by into it")
        if len(text) > MOST_CHARS:
            raise ConfigError(f"{self._key}.file: {self._path} has {len(text)} characters, more than {MOST_CHARS}")
        return text
