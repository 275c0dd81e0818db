"""Data for online RL of a GRM: the prompts that the service will show it, each with the right verdict as its label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from grm_plugin._util.digests import digest
from grm_plugin.batch.items import Item
from grm_plugin.batch.label_noise import without_noise
from grm_plugin.config import Config
from grm_plugin.errors import ConfigError
from grm_plugin.spct.token_limit import TokenLimit
from grm_plugin.spct.training_files import TrainingRow
from grm_plugin.spct.training_prompts import Presentation, TrainingPrompts, present
from grm_plugin.spct.trajectories import read_trajectories
from grm_plugin.types import message_dicts

IMAGE_TAG = "<image>"
"""OpenRLHF takes this text in a prompt for an image (openrlhf/datasets/prompts_dataset.py, `_str_to_content_list`)."""


def rl_rows(
    items: Iterable[Item],
    config: Config,
    prompts: TrainingPrompts,
    seed: int,
    easy: Collection[str],
    limit: TokenLimit,
    dropped: Counter[str],
) -> Iterator[TrainingRow]:
    """Rows for OpenRLHF (`--data.input_key prompt --data.label_key label --data.apply_chat_template`) and for TRL.

    Args:
        items: preference items.
        config: the configuration to serve with.
        prompts: the prompts to serve with.
        seed: of each item's order and marker.
        easy: digests of items to leave out, see `easy_items`.
        limit: token limit of a prompt.
        dropped: gets the number of items left out, by reason.

    Raises:
        GroupError: an item has more responses than `judge.list_size`.
        ConfigError: after the last item, no item is left.
    """
    left = 0
    for item in without_noise(items, config.judge, dropped):
        shown = present(item, config, seed)
        conversation = prompts.plain(shown).messages
        if easy and content_digest(shown) in easy:
            dropped["easy"] += 1
        elif any(IMAGE_TAG in turn.content for turn in conversation):
            dropped["image_tag"] += 1
        elif not limit.fits(conversation):
            dropped["too_long"] += 1
        else:
            left += 1
            yield {
                "prompt": message_dicts(conversation),
                "label": shown.target.to_json(),
                "id": item.id,
            }
    if not left:
        raise ConfigError(f"no item is left ({dict(dropped)}): nothing was written")


def easy_items(folders: Iterable[Path]) -> set[str]:
    """The `content_digest` of every item in these outputs of `rft-data` on which the GRM was right every time.

    Not ids, since another file may use the same id for another item.

    Raises:
        ConfigError: a folder holds no trajectories, or a row is damaged.
    """
    records = (record for folder in folders for record in read_trajectories(folder))
    return {content_digest(record.shown) for record in records if record.easy}


def content_digest(shown: Presentation) -> str:
    """A digest of an item's texts and label, which is the same for every order and seed."""
    best = sorted(shown.order[position] for position in shown.target.best)
    return digest([asdict(shown.group), best, shown.target.label])
