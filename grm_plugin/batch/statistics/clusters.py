"""What hangs together among items, and how many items it takes before anything is concluded."""

from __future__ import annotations

from grm_plugin._util.digests import digest
from grm_plugin.batch.items import Item
from grm_plugin.types import message_dicts

FEWEST_ITEMS = 30
"""Below this many items, or clusters of them, a figure is shown, but nothing is concluded from it."""


def cluster_of(item: Item) -> str:
    """What an item is drawn with: its own `cluster`, or else all items on the same prompt."""
    return item.cluster or digest(message_dicts(item.conversation))
