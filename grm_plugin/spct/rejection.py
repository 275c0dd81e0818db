"""Rejective fine-tuning: which trajectories a GRM is trained on, and why the others are not (paper, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from grm_plugin.spct.token_limit import UNLIMITED, Room
from grm_plugin.spct.training_prompts import TrainingPrompts
from grm_plugin.spct.trajectories import ItemTrajectories, Trajectory
from grm_plugin.types import Message


class Fate(StrEnum):
    """What becomes of a trajectory."""

    KEPT = "kept"
    EASY = "easy"
    WRONG = "wrong"
    TIE = "tie"
    LEAKED = "leaked"
    UNREAD = "unread"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class Rules:
    """Decides which trajectories become training rows.

    Attributes:
        prompts: with which it was drawn; they know a critique that lets the hint show.
        rejection: off is an ablation: whatever can be read is kept, right or wrong, easy or not.
        room: token limit of a training row, prompt and critique.
    """

    prompts: TrainingPrompts
    rejection: bool = True
    room: Room = UNLIMITED

    def fate(self, record: ItemTrajectories, trajectory: Trajectory) -> Fate:
        """The fate of one of the record's trajectories.

        Without a hint, an item whose trajectories are all right is dropped: it teaches nothing. With a hint only wrong
        trajectories are, and those that let the hint show.
        """
        if trajectory.scores is None:
            return Fate.UNREAD
        if trajectory.kind == "hinted" and self.prompts.gives_away(record.shown, trajectory.text):
            return Fate.LEAKED
        if self.rejection and not trajectory.right:
            return Fate.TIE if trajectory.tie else Fate.WRONG
        if self.rejection and record.easy and trajectory.kind == "plain":
            return Fate.EASY
        prompt = self.prompts.plain(record.shown).messages
        return Fate.KEPT if self.room.holds((*prompt, Message("assistant", trajectory.text))) else Fate.TOO_LONG
