"""Data for the meta RM: critiques, each labelled by whether its verdict is right (paper, section 3.3).

The paper takes the critiques of the fine-tuning stage that had no hint, right and wrong, and critiques of the trained
GRM. Critiques that cannot be read are left out: the service does not ask the meta RM about them either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from grm_plugin.batch import vote_store as store
from grm_plugin.batch.vote_store import list_as_shown
from grm_plugin.config import Config
from grm_plugin.engines.fingerprint import fingerprint, require_same
from grm_plugin.errors import ConfigError
from grm_plugin.judging.outcome import Target
from grm_plugin.spct import trajectories
from grm_plugin.spct.training_files import TrainingRow
from grm_plugin.spct.training_prompts import Presentation, TrainingPrompts
from grm_plugin.types import Conversation, message_dicts


def meta_rm_rows(
    folders: Iterable[Path], config: Config, prompts: TrainingPrompts, counts: Counter[str]
) -> Iterator[TrainingRow]:
    """The rows of all folders, see `rows_of_folder`.

    Raises:
        ConfigError: what `rows_of_folder` raises; or, after the last row, all critiques are right or all are wrong, and
            a meta RM would learn nothing from them.
    """
    for folder in folders:
        yield from rows_of_folder(folder, config, prompts, counts)
    right, wrong = counts["right"], counts["wrong"]
    if not right or not wrong:
        raise ConfigError(
            f"a meta RM needs right and wrong critiques, these are {right:,} and {wrong:,}: give folders that hold both"
        )


def rows_of_folder(
    folder: Path, config: Config, prompts: TrainingPrompts, counts: Counter[str]
) -> Iterator[TrainingRow]:
    """Rows with `messages` (what the service shows the meta RM), `label` (0 or 1), `id` (of the item) and `source`.

    Args:
        folder: the output of `grm-plugin spct rft-data`, or a vote store of `grm-plugin eval`.
        config: the configuration to serve with.
        prompts: the prompts to serve with.
        counts: gets the numbers of `right`, `wrong` and `unread` critiques.

    Raises:
        ConfigError: the folder holds neither, is damaged, or its votes were sampled with other prompts.
    """
    if (folder / trajectories.FILE_NAME).exists():
        rows = _from_trajectories(trajectories.read_trajectories(folder), prompts, counts)
    elif (folder / store.FILE_NAME).exists():
        rows = _from_votes(folder, config, prompts, counts)
    else:
        raise ConfigError(
            f"{folder} holds neither {trajectories.FILE_NAME} nor {store.FILE_NAME}: give the --output of "
            "`grm-plugin spct rft-data` or of `grm-plugin eval`"
        )
    for name, conversation, right in rows:
        counts["right" if right else "wrong"] += 1
        yield {
            "messages": message_dicts(conversation),
            "label": int(right),
            "id": name,
            "source": folder.name,
        }


def _from_trajectories(
    records: Iterable[trajectories.ItemTrajectories], prompts: TrainingPrompts, counts: Counter[str]
) -> Iterator[tuple[str, Conversation, bool]]:
    for record in records:
        for trajectory in record.of_kind("plain"):
            if trajectory.scores is None:
                counts["unread"] += 1
            else:
                yield record.id, prompts.meta(record.shown, trajectory.text), trajectory.right


def _from_votes(
    folder: Path, config: Config, prompts: TrainingPrompts, counts: Counter[str]
) -> Iterator[tuple[str, Conversation, bool]]:
    """The sampled votes on items with two or more responses."""
    manifest, records = store.read_store(folder)
    require_same(manifest.fingerprint, fingerprint(config), ("judge", "prompt"), folder)
    for record in records:
        item = record.item
        if not item.best:
            continue  # `eval` scores single responses 1..10, and no rule says which of these scores are right
        shown = list_as_shown(record, config.judge)
        for vote in record.votes:
            if vote.scores is None or not vote.text:
                counts["unread"] += 1
                continue
            best = tuple(position for position, index in enumerate(vote.order) if index in item.best)
            presented = Presentation(shown.group, vote.order, shown.marker, Target(len(vote.order), best))
            yield item.id, prompts.meta(presented, vote.text), item.is_right(vote.scores)
