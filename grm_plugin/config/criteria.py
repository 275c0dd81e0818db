"""Criteria in the configuration, and what makes a set of criteria one that a response can be scored by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from grm_plugin.config.fields import Section, StatePath, resolved
from grm_plugin.types import Criterion, CriterionKind

MOST_CRITERIA = 64
"""The GRM scores no more at once: its answer has a line for each."""

LONGEST_NAME = 80
"""Characters."""

LONGEST_TEXT = 4_000
"""Characters of a criterion's text: long enough for the longest of public data sets, ten times over."""


SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-9, 1e9
"""Of weights above 0: far wider than anybody needs, and sums and products of them stay exact enough."""


def problem_with(criteria: Sequence[Criterion]) -> str:
    """What is wrong with a set of criteria, and what to do about it; empty where nothing is."""
    return problem_with_each(criteria) or problem_with_weights(criteria)


def problem_with_weights(criteria: Sequence[Criterion]) -> str:
    """Why criteria that are right one by one make no reward together; empty where they do."""
    weighed = [criterion for criterion in criteria if criterion.kind != "must"]
    if weighed and not any(criterion.weight for criterion in weighed):
        return "the weights of the criteria sum to zero: give at least one of them a weight above 0"
    return ""


def problem_with_each(criteria: Sequence[Criterion]) -> str:
    """What is wrong with their number, or with one of them; empty where nothing is."""
    if len(criteria) > MOST_CRITERIA:
        return f"there are {len(criteria)} criteria, and the GRM scores at most {MOST_CRITERIA} at once: join some"
    names = [criterion.name for criterion in criteria]
    for number, criterion in enumerate(criteria):
        if not criterion.name.strip() or len(criterion.name) > LONGEST_NAME or not criterion.name.isprintable():
            return f"criterion {number} needs a name of 1 to {LONGEST_NAME} printable characters"
        if criterion.name in names[:number]:
            return f"two criteria are named {criterion.name!r}: give each a name of its own"
        if criterion.kind != "rule" and not criterion.text.strip():
            return f"criterion {criterion.name!r} has no text: say what it asks of a response"
        if len(criterion.text) > LONGEST_TEXT:
            return f"the text of criterion {criterion.name!r} is longer than {LONGEST_TEXT} characters: shorten it"
        if criterion.weight and not SMALLEST_WEIGHT <= criterion.weight <= LARGEST_WEIGHT:
            wrong = f"the weight of criterion {criterion.name!r} is {criterion.weight:g}: give "
            if -LARGEST_WEIGHT <= criterion.weight < 0:
                return f"{wrong}0 or more, or kind penalty"
            return f"{wrong}0, or a finite one from {SMALLEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
    return ""


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class WhenConfig(Section):
    """For which samples something is used."""

    source: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_tuple)] = Field(min_length=1)
    """Tasks that the prompt may come from, one or a list: the sample's `source` (`data_source` of verl's datasets)."""

    def holds(self, source: str | None) -> bool:
        """Whether a sample from there is meant."""
        return source in self.source


class CriterionConfig(Section):
    """One of the criteria by which responses are scored."""

    name: str
    """Short name, unique among the criteria: the log has a column `grm_criterion_NAME`."""
    text: str = ""
    """What it asks of a response, as the GRM reads it. A rule needs none."""
    weight: float = 1.0
    """Its share of the reward, beside the weights of the others. Below 0, a yes_no is a penalty."""
    kind: CriterionKind = "scale"
    """scale: how far a response fulfils it, 1 to 10 (`judge.scale`). yes_no: whether it does. must: whether it does;
    one that does not gets the lowest score, whatever else it does. penalty: whether it has this fault, which is taken
    off. rule: what `function` says."""
    function: str | None = None
    """For kind rule: your Python function, as `rules.py:right_answer`. It takes any of prompt, messages, response,
    reference and source by name, and gives a number from 0 to 1, a truth value, or None where it does not apply."""
    gate: bool = False
    """For kind rule: a response for which it says 0 gets the lowest score, and the GRM is not asked about it."""
    when: WhenConfig | None = None
    """For which samples it is used, as in `{source: math}`; null for all."""

    @field_validator("function")
    @classmethod
    def _is_in_a_file(cls, function: str | None, info: ValidationInfo) -> str | None:
        if function is None:
            return None
        path, _, name = function.rpartition(":")
        if not path or not name.isidentifier():
            raise ValueError(f"{function!r} names no function: write FILE.py:FUNCTION, as in rules.py:right_answer")
        return f"{resolved(path, info)}:{name}"

    @model_validator(mode="after")
    def _belongs_together(self) -> CriterionConfig:
        if (self.kind == "rule") != (self.function is not None):
            needs = "needs a function" if self.kind == "rule" else "has no function"
            raise ValueError(f"criterion {self.name!r} of kind {self.kind} {needs}: kind rule and function go together")
        if self.gate and self.kind != "rule":
            raise ValueError(f"criterion {self.name!r} of kind {self.kind} has no gate: use kind must for that")
        if self.weight < 0 and self.kind not in ("yes_no", "penalty"):
            raise ValueError(
                f"criterion {self.name!r} of kind {self.kind} has the weight {self.weight:g}: give 0 or more, or kind "
                "penalty"
            )
        return self

    @property
    def criterion(self) -> Criterion:
        """As it is scored by."""
        kind = "penalty" if self.weight < 0 else self.kind
        return Criterion(self.name, self.text, abs(self.weight), kind)


class OverallConfig(Section):
    """The GRM's overall score of a response, beside the user's rules."""

    weight: float = Field(default=1.0, ge=0, le=LARGEST_WEIGHT, allow_inf_nan=False)
    """Its share of the reward, beside the weights of the rules. 0: the GRM is asked for criteria only."""
    when: WhenConfig | None = None
    """For which samples it is asked for, as in `{source: chat}`; null for all."""


class PrinciplesText(Section):
    """A text, or the file that holds it."""

    text: str | None = None
    """The text itself."""
    file: StatePath | None = None
    """Path of a text file. A running service reads it again when it changes."""

    @model_validator(mode="after")
    def _one_of_both(self) -> PrinciplesText:
        if (self.text is None) == (self.file is None):
            raise ValueError("give the text of the principles, or {file: PATH}")
        if self.text is not None and not self.text.strip():
            raise ValueError("the text of the principles is empty: leave it out, or say what is to be judged by")
        return self


def _as_principles(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


Principles = Annotated[PrinciplesText, BeforeValidator(_as_principles)]
"""A text, or `{file: PATH}`."""
