"""The lists of a vote store as the GRM was shown them: what rates its critiques later reads the same texts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain

from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.config import JudgeConfig
from grm_plugin.judging.applying import Applying
from grm_plugin.judging.lists import SHORTEST_SHOWN, ShownList, next_shorter
from grm_plugin.judging.prompts import draw_marker
from grm_plugin.judging.sanitizing import sanitize, visible
from grm_plugin.types import Group


def list_as_shown(record: ItemVotes, config: JudgeConfig) -> ShownList:
    """The item as it was shown to the GRM when it voted, with another marker: no critique depends on the marker."""
    showings = _showings(record, config)
    first = next(showings)
    found = (showing for showing in chain((first,), showings) if showing[1] == record.cut)
    group, cut = next(found, first) if record.cut else first
    return ShownList(group, draw_marker(random.Random(record.item.id), group), cut)


def _showings(record: ItemVotes, config: JudgeConfig) -> Iterator[tuple[Group, tuple[int, ...]]]:
    """The item with its responses cut to each length that the GRM may have seen, and how much is left out then.

    The judge cuts all responses of a list to one length, which may be shorter than the configured one. Where a response
    has neither reasoning nor calls of tools, that is what is left of it; else one of the lengths that the judge tries.
    """
    group = Applying(config).applied(record.item.group)
    members = tuple(range(len(group.responses)))
    for response, cut in zip(record.item.responses, record.cut, strict=False):
        if 0 < cut < (length := len(visible(response, config))):
            yield sanitize(group, members, config, length - cut)
    limit = config.max_response_chars
    while True:
        shown = sanitize(group, members, config, limit)
        yield shown
        if limit <= SHORTEST_SHOWN:
            return
        limit = next_shorter(limit, shown[0])
