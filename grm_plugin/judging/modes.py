"""The modes (`judge.mode`): what of a group is put before the GRM together, and how its votes become rewards."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from grm_plugin.config import Config
from grm_plugin.judging.comparing import pairs_of
from grm_plugin.judging.pair_rewards import of_pairs
from grm_plugin.judging.rewards import Combine, first_with_votes
from grm_plugin.judging.tiebreak import tied_neighbours, with_tiebreaks
from grm_plugin.types import Group, ListJudgement


class Modes:
    """What the mode of a configuration makes of a group."""

    def __init__(self, config: Config) -> None:
        self._judge = config.judge
        self._seed = config.sampling.seed

    @property
    def gathered(self) -> int:
        """Most responses that are waited for before some of a group are put before the GRM: of pairs, all of them."""
        return sys.maxsize if self._judge.mode == "pairwise" else self._judge.list_size

    @property
    def breaks_ties(self) -> bool:
        """Whether responses that the votes on a list do not separate are compared as pairs."""
        return self._judge.mode == "tiebreak"

    def parts_of(self, group: Group, members: tuple[int, ...]) -> Sequence[tuple[int, ...]]:
        """What of these responses is put before the GRM together: all of them, or pair by pair."""
        if self._judge.mode != "pairwise" or len(members) < 2:
            return [members]
        return pairs_of(group, members, self._judge.comparisons, self._seed)

    def marked(self, judged: ListJudgement) -> ListJudgement:
        """The list with what it was judged for."""
        return replace(judged, purpose="pair") if self._judge.mode == "pairwise" else judged

    def tied(self, group: Group, judged: ListJudgement) -> list[tuple[int, int]]:
        """The pairs of a list that are to be compared."""
        return tied_neighbours(group, judged, self._judge.tiebreak.flip)

    def combine_of(self, group: Group) -> Combine:
        """What the lists of this group together say of each response."""
        if self._judge.mode == "pairwise":
            return lambda raw, lists, criteria: of_pairs(raw, lists, criteria, self._judge.pair_rewards)
        if self._judge.mode == "tiebreak":
            return lambda raw, lists, criteria: with_tiebreaks(group, raw, lists, criteria)
        return first_with_votes
