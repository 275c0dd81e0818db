"""Data for the meta RM: critiques, each labelled by whether its verdict is right (paper, section 3.3).

The paper takes the critiques of the fine-tuning stage that had no hint, right and wrong, and critiques of the trained
GRM. Critiques that cannot be read are left out: the service does not ask the meta RM about them either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from grm_plugin.batch import vote_store as store
from grm_plugin.batch.label_noise import Labels
from grm_plugin.batch.shown_lists import list_as_shown
from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.config import Config
from grm_plugin.engines.fingerprint import fingerprint, require_same
from grm_plugin.errors import ConfigError
from grm_plugin.judging.outcome import Target
from grm_plugin.spct import trajectories
from grm_plugin.spct.training_files import TrainingRow
from grm_plugin.spct.training_prompts import Presentation, TrainingPrompts
from grm_plugin.spct.trajectories import ItemTrajectories
from grm_plugin.types import Conversation, Group, message_dicts

Record = ItemTrajectories | ItemVotes
"""An item with its critiques."""


def meta_rm_rows(
    folders: Iterable[Path], config: Config, prompts: TrainingPrompts, counts: Counter[str]
) -> Iterator[TrainingRow]:
    """The rows of all folders, see `rows_of_folder`.

    Raises:
        ConfigError: what `rows_of_folder` raises; or, after the last row, all critiques are right or all are wrong, and
            a meta RM would learn nothing from them.
    """
    folders = list(folders)
    labels = labels_of(folders, config)
    for folder in folders:
        yield from rows_of_folder(folder, config, prompts, counts, labels)
    right, wrong = counts["right"], counts["wrong"]
    if not right or not wrong:
        raise ConfigError(
            f"a meta RM needs right and wrong critiques, these are {right:,} and {wrong:,}: give folders that hold both"
        )


def labels_of(folders: Iterable[Path], config: Config) -> Labels:
    """What all labels of these folders say: an item may contradict one of another folder.

    Raises:
        ConfigError: a folder holds neither kind of critiques, is damaged, or was sampled with other prompts.
    """
    labels = Labels()
    for folder in folders:
        for record in _records(folder, config):
            labels.add(*_label(record, config))
    return labels


def rows_of_folder(
    folder: Path, config: Config, prompts: TrainingPrompts, counts: Counter[str], labels: Labels | None = None
) -> Iterator[TrainingRow]:
    """Rows with `messages` (what the service shows the meta RM), `label` (0 or 1), `id` (of the item) and `source`.

    Args:
        folder: the output of `grm-plugin spct rft-data`, or a vote store of `grm-plugin eval`.
        config: the configuration to serve with.
        prompts: the prompts to serve with.
        counts: gets the numbers of `right`, `wrong` and `unread` critiques, and of `identical` and `contradictory`
            items, whose labels are noise: they have no row.
        labels: of all folders that are trained on; None takes those of this one.

    Raises:
        ConfigError: the folder holds neither, is damaged, or its votes were sampled with other prompts.
    """
    labels = labels or labels_of([folder], config)
    for record in _records(folder, config):
        if fault := labels.fault(*_label(record, config)):
            counts[fault] += 1
            continue
        for conversation, right in _critiques(record, config, prompts, counts):
            counts["right" if right else "wrong"] += 1
            yield {
                "messages": message_dicts(conversation),
                "label": int(right),
                "id": record.id,
                "source": folder.name,
            }


def _records(folder: Path, config: Config) -> Iterator[Record]:
    """The items of a folder, those of votes with two or more responses: `eval` scores single ones 1..10, and no rule
    says which of these scores are right."""
    if (folder / trajectories.FILE_NAME).exists():
        yield from trajectories.read_trajectories(folder)
    elif (folder / store.FILE_NAME).exists():
        manifest, records = store.read_store(folder)
        require_same(manifest.fingerprint, fingerprint(config), ("judge", "prompt"), folder)
        yield from (record for record in records if record.item.best)
    else:
        raise ConfigError(
            f"{folder} holds neither {trajectories.FILE_NAME} nor {store.FILE_NAME}: give the --output of "
            "`grm-plugin spct rft-data` or of `grm-plugin eval`"
        )


def _label(record: Record, config: Config) -> tuple[Group, tuple[int, ...], int | None]:
    """The item as the GRM was shown it, the indices of its best responses, and the label of a single one."""
    if isinstance(record, ItemVotes):
        return list_as_shown(record, config.judge).group, record.item.best, None
    shown = record.shown
    return shown.group, tuple(shown.order[position] for position in shown.target.best), shown.target.label


def _critiques(
    record: Record, config: Config, prompts: TrainingPrompts, counts: Counter[str]
) -> Iterator[tuple[Conversation, bool]]:
    """What the meta RM reads about each critique of an item without a hint, and whether its verdict is right."""
    if isinstance(record, ItemTrajectories):
        for trajectory in record.of_kind("plain"):
            if trajectory.scores is None:
                counts["unread"] += 1
            else:
                yield prompts.meta(record.shown, trajectory.text), trajectory.right
        return
    shown = list_as_shown(record, config.judge)
    for vote in record.votes:
        if vote.scores is None or not vote.text:
            counts["unread"] += 1
            continue
        best = tuple(position for position, index in enumerate(vote.order) if index in record.item.best)
        presented = Presentation(shown.group, vote.order, shown.marker, Target(len(vote.order), best))
        yield prompts.meta(presented, vote.text), record.item.is_right(vote.scores)
