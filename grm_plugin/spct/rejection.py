"""The rules of rejective fine-tuning: which trajectories a GRM is trained on (paper, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from grm_plugin.spct.token_limit import UNLIMITED, TokenLimit
from grm_plugin.spct.training_prompts import TrainingPrompts
from grm_plugin.spct.trajectories import ItemTrajectories, Trajectory
from grm_plugin.types import Message


class Decision(StrEnum):
    """Whether a trajectory is kept, or why not."""

    KEPT = "kept"
    EASY = "easy"
    WRONG = "wrong"
    TIE = "tie"
    LEAKED = "leaked"
    UNREAD = "unread"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class RejectionRules:
    """Decides which trajectories become training rows.

    Attributes:
        prompts: those that the trajectories were sampled with. They recognise a critique that shows its hint.
        rejection: False is an ablation: all trajectories that can be read are kept, wrong ones and those of easy items
            too.
        limit: token limit of a training row (prompt and critique together).
    """

    prompts: TrainingPrompts
    rejection: bool = True
    limit: TokenLimit = UNLIMITED

    def decide(self, record: ItemTrajectories, trajectory: Trajectory) -> Decision:
        """Whether to keep one of the record's trajectories.

        These are dropped: wrong trajectories; trajectories without a hint if all of the item's are right, since it
        teaches nothing; and trajectories with a hint that show it.
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
