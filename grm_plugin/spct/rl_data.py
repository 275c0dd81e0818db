"""Prompts for the online RL of a GRM: what it will be shown at serving, and the right verdict as the label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict

from grm_plugin.batch.items import Item, digest
from grm_plugin.config import Config
from grm_plugin.errors import ConfigError
from grm_plugin.spct.token_limit import TokenLimit
from grm_plugin.spct.training_files import TrainingRow
from grm_plugin.spct.training_prompts import Presentation, TrainingPrompts, present
from grm_plugin.types import message_dicts

IMAGE_TAG = "<image>"
"""OpenRLHF takes it for a picture wherever it stands (openrlhf/datasets/prompts_dataset.py, `_str_to_content_list`)."""


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
        config: of serving.
        prompts: of serving.
        seed: of each item's order and marker.
        easy: contents to leave out, as `content_digest` names them; an id may stand for something else elsewhere.
        limit: of a prompt.
        dropped: counts what is left out, by reason.

    Raises:
        GroupError: an item has more responses than `judge.list_size`.
        ConfigError: no item is left.
    """
    left = 0
    for item in items:
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


def content_digest(shown: Presentation) -> str:
    """Of an item's texts and label; the same for every order and seed."""
    best = sorted(shown.order[position] for position in shown.target.best)
    return digest([asdict(shown.group), best, shown.target.label])
