"""OpenRLHF calls a reward function with one sample, and swallows what it raises."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from grm_plugin.errors import GRMError, GroupError

Label = TypeVar("Label")

logger = logging.getLogger(__name__)


@contextmanager
def one_sample(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Label]
) -> Iterator[tuple[str, str, Label]]:
    """The query, prompt and label of a call. An error in the block is logged, and raised again.

    Raises:
        GroupError: there are several samples.
    """
    try:
        if len(queries) != 1:
            raise GroupError(f"{len(queries)} samples in one call: OpenRLHF from 0.9.1 on asks for one reward a call")
        (query,), (prompt,), (label,) = queries, prompts, labels
        yield query, prompt, label
    except GRMError as error:
        logger.error("no reward: %s", error)  # OpenRLHF fails later, without naming the cause
        raise
