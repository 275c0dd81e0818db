"""The bias panel: what moves the judge besides quality, and how far its votes can be trusted, from stored votes alone.

No model is asked. Items whose label is noise are left out: being right means nothing there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from grm_plugin.batch.statistics.clusters import cluster_of
from grm_plugin.batch.statistics.shares import Share, share_of
from grm_plugin.batch.vote_store import ItemVotes, Manifest
from grm_plugin.evals.bias.calibration import Calibration, calibration
from grm_plugin.evals.bias.order_flips import OrderFlips, order_flips, winner_of
from grm_plugin.evals.bias.scale_use import ScaleUse, scale_use
from grm_plugin.evals.bias.token_gains import CritiqueLengths, MethodCost, MethodFigure, critique_lengths, method_costs
from grm_plugin.evals.bias.traits import TraitBias, trait_biases


@dataclass(frozen=True, slots=True)
class Position:
    """Whether places matter. Orders are drawn at random, so that the right response is in no place more often.

    Attributes:
        first: of the votes in which one response is ahead, the share in which it is the one shown first.
        by_chance: what `first` is without a position bias: the mean of 1 / number of responses.
        flips: how often votes on different orders have different winners, and votes on the same order.
    """

    first: Share
    by_chance: float
    flips: OrderFlips | None


@dataclass(frozen=True, slots=True)
class BiasPanel:
    """All measures of one store.

    Attributes:
        suite, model: as in the store's manifest.
        items: number of items that were looked at.
        traits: by length, by Markdown, and by every kind of it.
        position: None for single responses, scalar models, and where no vote has a winner.
        scale: None without a vote that could be read.
        calibration: likewise.
        costs: of every voting method; empty where tokens or figures are not known.
        critiques: None where tokens are not known, and for single responses.
    """

    suite: str
    model: str
    items: int
    traits: tuple[TraitBias, ...]
    position: Position | None
    scale: ScaleUse | None
    calibration: Calibration | None
    costs: tuple[MethodCost, ...]
    critiques: CritiqueLengths | None

    def trait(self, name: str) -> TraitBias:
        """The trait with this name.

        Raises:
            KeyError: there is none.
        """
        return {found.trait: found for found in self.traits}[name]

    def to_json(self) -> dict[str, Any]:
        """All measures as a JSON object, with null for what cannot be measured."""
        return asdict(self)


def bias_panel(manifest: Manifest, records: Sequence[ItemVotes], figures: Sequence[MethodFigure] = ()) -> BiasPanel:
    """The panel of a store. The greedy votes are not looked at, but for their tokens.

    Args:
        manifest, records: from `read_store`, with or without the texts of the critiques.
        figures: the overall figures of the voting methods, such as `Report.overall()`, to set against their tokens.
    """
    clean = sorted((record for record in records if not record.item.meta.get("noise")), key=lambda found: found.id)
    scalar = manifest.judge == "scalar"
    return BiasPanel(
        manifest.suite,
        manifest.model,
        len(clean),
        tuple(trait_biases(clean)),
        None if scalar else _position(clean),
        scale_use(clean, scalar),
        calibration(clean, scalar),
        tuple(method_costs(clean, figures)),
        None if scalar else critique_lengths(clean),
    )


def _position(records: Sequence[ItemVotes]) -> Position | None:
    decided = [
        (
            record,
            [
                vote.order[0] == winner
                for vote in record.votes
                if vote.order and (winner := winner_of(vote)) is not None
            ],
        )
        for record in records
    ]
    found = [(record, firsts) for record, firsts in decided if firsts]
    first = share_of(
        [sum(firsts) for _, firsts in found],
        [len(firsts) for _, firsts in found],
        [cluster_of(record.item) for record, _ in found],
    )
    if first is None:
        return None
    return Position(first, fmean(1 / len(record.item.responses) for record, _ in found), order_flips(records))
