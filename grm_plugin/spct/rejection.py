"""Rejective fine-tuning: which trajectories a GRM is trained on, and why the others are not (paper, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from grm_plugin.spct.token_limit import UNLIMITED, TokenLimit
from grm_plugin.spct.training_prompts import TrainingPrompts
from grm_plugin.spct.trajectories import ItemTrajectories, Trajectory
from grm_plugin.types import Message


class Decision(StrEnum):
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
        limit: token limit of a training row, prompt and critique.
    """

    prompts: TrainingPrompts
    rejection: bool = True
    limit: TokenLimit = UNLIMITED

    def decide(self, record: ItemTrajectories, trajectory: Trajectory) -> Decision:
        """What becomes of one of the record's trajectories.

        Without a hint, an item whose trajectories are all right is dropped: it teaches nothing. With a hint only wrong
        trajectories are, and those that let the hint show.
        """
        if trajectory.scores is None:
            return Decision.UNREAD
        if trajectory.kind == "hinted" and self.prompts.gives_away(record.shown, trajectory.text):
            return Decision.LEAKED
        if self.rejection and not trajectory.right:
            return Decision.TIE if trajectory.tie else Decision.WRONG
        if self.rejection and record.easy and trajectory.kind == "plain":
            return Decision.EASY
        prompt = self.prompts.plain(record.shown).messages
        return Decision.KEPT if self.limit.fits((*prompt, Message("assistant", trajectory.text))) else Decision.TOO_LONG
