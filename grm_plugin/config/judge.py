"""The section `judge`: how responses are put before the GRM, and how its answer is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from grm_plugin.config.criteria import (
    CriterionConfig,
    OverallConfig,
    Principles,
    problem_with_each,
    problem_with_weights,
)
from grm_plugin.config.fields import SHIPPED, Section, TemplatePath
from grm_plugin.config.modes import Comparisons, Mode, PairRewards, TiebreakConfig, mode_problem
from grm_plugin.config.patterns import compiled
from grm_plugin.config.presets import BOUND_TO_TEMPLATE, PRESETS, Preset
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Criterion

PresetName = Literal[
    "deepseek_grm",
    "any_instruct",
    "gpt_score",
    "rm_r1",
    "skywork_critic",
    "compass_judger",
    "prometheus_2",
    "prometheus_2_pairs",
    "selene",
    "j1",
    "nemotron_genrm",
]


class JudgeConfig(Section):
    """How responses are put before the GRM and how its answer is read."""

    preset: PresetName | None = None
    """The family of judges that your GRM belongs to. It sets `template`, `answer`, `scale`, `pattern` and `list_size`
    as its models need them; what you set yourself counts over it. deepseek_grm: the released DeepSeek-GRM weights.
    any_instruct: any instruct model, by the general template. gpt_score: the same, one response at a time, which ends
    with "Score: 8/10". Pairs, one response against another: rm_r1, skywork_critic, compass_judger, j1,
    prometheus_2_pairs. One response at a time on 1 to 5: prometheus_2, selene. One or two on 1 to 5: nemotron_genrm."""
    template: TemplatePath | None = None
    """File with the GRM's prompt template, or builtin:NAME for one that ships with the package (builtin:deepseek_grm);
    null takes the general one, for any instruct model, which asks for what `answer` and `scale` say."""
    answer: Literal["boxed", "brackets", "json", "score", "verdict", "regex"] = "boxed"
    """How the GRM writes its verdict. boxed: `Scores: \\boxed{8, 3}`. brackets: `[8, 3]` or `[[8, 3]]`. json: an object
    or a list, `{"scores": [8, 3]}`. score: `Score: 8/10`, `[RESULT] 4`; for several responses a line each, `Response 2:
    8/10`. verdict: which of two is better, `[[A]]`, `[[B>A]]`, `[RESULT] A`; the winner gets 10, the other 1, both 5.5
    for a tie. regex: whatever `pattern` captures."""
    scale: tuple[int, int] = (MIN_SCORE, MAX_SCORE)
    """Lowest and highest score that the GRM gives, as in [1, 5]. They count as 1 and 10, and what lies between in
    proportion."""
    pattern: str | None = Field(default=None, validate_default=True)
    """For answer regex: an RE2 regular expression with one group per response of a list, each capturing a score. Its
    last match counts. Where lists may be shorter than `list_size`, later groups are optional: `(\\d+)(?:, (\\d+))?`."""
    decimals: Literal["reject", "accept"] = "reject"
    """What a score such as 7.5 means. reject: nothing, the critique's vote is lost. accept: 7.5."""
    list_size: int = Field(default=4, ge=1, le=64, validate_default=True)
    """Most responses that the GRM reads together; a larger group is split into lists of nearly equal size. With answer
    verdict it is 2. Judges of pairs (that answer, the presets for pairs, answer regex with 2) read nothing but pairs: a
    response left over is compared with a sibling, whose own votes stay; one that is alone in its group gets no vote.
    Mode pairwise shows two at a time whatever this says."""
    mode: Mode = "listwise"
    """How the responses of a group are put side by side. listwise: in lists of `list_size`, whose scores are the votes.
    pairwise: two by two, in both orders, `sampling.k` critiques for each pair; a vote is which of the two is ahead, by
    whatever answer the GRM gives, and half for each where they are level. Costs (n - 1) / 2 times the critiques of one
    response per list, shorter ones; a response that is alone in its group gets no vote. tiebreak: listwise first, then
    only neighbours in a list's ranking whose votes do not separate are compared as a pair, and both kinds of evidence
    are put together. docs/modes.md says when which pays."""
    comparisons: Comparisons = "all"
    """For mode pairwise: which pairs of n responses. all: n (n - 1) / 2, each with every other. circular: n, each with
    the next one in a circle drawn at random, for large groups."""
    pair_rewards: PairRewards = "bradley_terry"
    """For mode pairwise: how votes on pairs become a mean of 1 to 10. bradley_terry: 1 + 9 times the probability of
    being ahead of another response of the group, by strengths fitted to all votes. borda: 1 + 9 times the share of the
    votes that the response has won itself, averaged over those it was compared with."""
    tiebreak: TiebreakConfig = TiebreakConfig()
    """For mode tiebreak: which responses are compared, and how often."""
    max_response_chars: int = Field(default=24_000, ge=100)
    """Most characters of a response that the GRM reads. A longer one loses its middle: its beginning gets three
    quarters of them, its end one quarter."""
    criteria: tuple[CriterionConfig, ...] = ()
    """What responses are scored by, one by one, where a sample brings no criteria of its own; the reward is their
    weighted mean. Rules count for samples with criteria too. Empty: the GRM gives one overall score."""
    rule_timeout_s: float = Field(default=5.0, gt=0)
    """Longest time of one call to a rule's function, in seconds; one that takes longer is ended, and has no score."""
    rule_workers: int = Field(default=2, ge=1, le=256)
    """Processes in which rules run, and so most calls at once, for each process of the service. They start when they
    are needed."""
    overall: OverallConfig = OverallConfig()
    """The GRM's overall score, where there are no criteria for it: by itself, or beside rules."""
    criteria_template: TemplatePath = f"{SHIPPED}criteria"
    """File with the GRM's prompt template for lists with criteria, or builtin:NAME. It asks for a line of scores for
    each criterion (`1: \\boxed{8, 3}`, `2: \\boxed{yes, no}`), below a line `Scores:`."""
    principles: Principles | None = None
    """What you want responses judged by, in your own words: a text, or {file: PATH}. The GRM is shown it in place of
    the general criteria that the template starts from; it may add criteria of its own. null: the GRM finds them
    alone."""
    principles_of: dict[str, Principles] = Field(default_factory=dict)
    """The same for samples of one `source`, by its name: these count instead of `principles`."""
    reasoning: Literal["keep", "strip", "cut_first"] = "cut_first"
    """What the GRM reads of a policy's reasoning (`<think>` and its kin, `reasoning_content`), never at the cost of the
    answer. keep: all of it; reasoning and answer have `max_response_chars` each. strip: none; a response whose
    reasoning never ends says nothing. cut_first: what the answer leaves of `max_response_chars`."""
    max_tool_chars: int = Field(default=8_000, ge=100)
    """Most characters of one tool call's arguments, and of one tool result, that the GRM reads, in the conversation and
    in responses. A longer one loses its middle."""
    use_reference: bool = True
    """Whether the GRM is shown the framework's label as a reference answer, where there is one."""
    blank_response: Literal["minimum", "judge"] = "minimum"
    """What becomes of a response in which nothing can be seen. minimum: it gets the lowest score, and the GRM is not
    asked. judge: it is judged like any other."""
    control_tokens: tuple[Annotated[str, Field(min_length=2)], ...] = ()
    """Special tokens of your GRM that the usual chat formats lack. Like theirs, they are broken up in all that the GRM
    reads, so that no response can end its turn or speak in another's name. `grm-plugin attack` finds them."""
    invisible: Literal["strip", "keep"] = "strip"
    """What becomes of zero-width, direction and tag characters, which models read and screens do not show. strip: the
    GRM reads texts without them, except for the joiners that Persian, Hindi and emoji need. keep: they stay."""

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, data: Any) -> Any:
        preset = PRESETS.get(str(data.get("preset"))) if isinstance(data, dict) else None
        return {**preset.keys, **data} if preset else data

    @field_validator("scale", mode="before")
    @classmethod
    def _are_two_numbers(cls, scale: Any) -> Any:
        if not isinstance(scale, list | tuple) or len(scale) != 2 or any(type(end) is not int for end in scale):
            raise ValueError(f"{scale!r} is no scale: give its two ends as whole numbers, as in [1, 5]")
        return scale

    @field_validator("scale")
    @classmethod
    def _is_a_scale(cls, scale: tuple[int, int], info: ValidationInfo) -> tuple[int, int]:
        lowest, highest = scale
        if lowest >= highest:
            raise ValueError(
                f"{list(scale)} goes from {lowest} up to {highest}: give the lowest score first, as in [1, 5]"
            )
        if info.data.get("answer") == "verdict" and scale != (MIN_SCORE, MAX_SCORE):
            raise ValueError("answer verdict has no scale, its winner gets 10 and the other 1: leave scale out")
        return scale

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        answer = info.data.get("answer", "regex" if pattern else "boxed")  # absent where it is wrong itself
        if pattern is None:
            if answer == "regex":
                raise ValueError("answer regex needs one: give a regular expression with a group for each response")
        elif answer != "regex":
            raise ValueError(f"only answer regex uses it, not {answer}: leave it out, or set answer: regex")
        else:
            compiled(pattern)
        return pattern

    @field_validator("list_size")
    @classmethod
    def _is_a_list_size(cls, size: int, info: ValidationInfo) -> int:
        preset = PRESETS.get(str(info.data.get("preset")))
        if preset is not None and (size > preset.largest or (preset.pairs and size != 2)):
            name, reads = info.data["preset"], "pairs" if preset.pairs else f"at most {preset.largest} at once"
            raise ValueError(f"it is {size}, but preset {name} reads {reads}: leave list_size out")
        if info.data.get("answer") == "verdict" and size != 2:
            raise ValueError(f"it is {size}, but answer verdict compares two responses: set list_size: 2")
        if info.data.get("answer") == "regex" and info.data.get("pattern"):
            groups = compiled(info.data["pattern"]).groups
            if groups != size:
                raise ValueError(
                    f"it is {size}, but pattern has {groups} groups: give one group for each response of a list, "
                    "and write others as (?:...)"
                )
        return size

    @field_validator(*BOUND_TO_TEMPLATE)
    @classmethod
    def _is_what_the_template_asks_for(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.data.get("preset")
        preset = PRESETS.get(str(name), Preset({}))
        asked_by = preset.keys.get("template")
        asked = preset.keys.get(str(info.field_name), cls.model_fields[str(info.field_name)].default)
        if asked_by is not None and info.data.get("template") == asked_by and value != asked:
            shown = list(asked) if isinstance(asked, tuple) else asked
            raise ValueError(
                f"the template of preset {name} asks for {shown}: leave {info.field_name} out, or give a template too"
            )
        return value

    @model_validator(mode="after")
    def _mode_can_be(self) -> JudgeConfig:
        if problem := mode_problem(self):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _has_a_set_of_criteria(self) -> JudgeConfig:
        found = [criterion.criterion for criterion in self.criteria]
        # Criteria for different sources never meet, but share the columns of the log: their names differ too.
        if problem := problem_with_each(found):
            raise ValueError(f"judge.criteria: {problem}")
        whens = (self.overall.when, *(item.when for item in self.criteria))
        for source in [None, *sorted({source for when in whens if when for source in when.source})]:
            asked, rules = self.criteria_for(source), self.rules_for(source)
            # Beside what the GRM says, rules may weigh nothing: a gate decides alone.
            alone = () if asked or self.asks_overall(source) else rules
            if problem := problem_with_weights(asked) or problem_with_weights(alone):
                whom = f"source {source}" if source else "samples of no source that it names"
                raise ValueError(f"judge.criteria, of those that count for {whom}: {problem}")
        if self.pairs and any(criterion.kind != "rule" for criterion in self.criteria):
            judge = f"preset {self.preset}" if self.preset else f"answer {self.answer}"
            raise ValueError(
                f"judge.criteria: {judge} compares pairs, and gives no scores for criteria: leave them out, or use "
                "another GRM"
            )
        return self

    def criteria_for(self, source: str | None) -> tuple[Criterion, ...]:
        """What the GRM scores samples from there by, where they bring no criteria; without rules."""
        return tuple(item.criterion for item in self._used(source) if item.kind != "rule")

    def rules_for(self, source: str | None) -> tuple[Criterion, ...]:
        """The rules for samples from there."""
        return tuple(item.criterion for item in self._used(source) if item.kind == "rule")

    def asks_overall(self, source: str | None) -> bool:
        """Whether the GRM is asked for an overall score of samples from there, where it has no criteria for them."""
        when = self.overall.when
        return self.overall.weight > 0 and (when is None or when.holds(source))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all criteria, each of which has a column in the log."""
        return tuple(item.name for item in self.criteria)

    @property
    def gates(self) -> frozenset[str]:
        """The names of rules that decide whether the GRM is asked at all."""
        return frozenset(item.name for item in self.criteria if item.gate)

    def _used(self, source: str | None) -> list[CriterionConfig]:
        return [item for item in self.criteria if item.when is None or item.when.holds(source)]

    def reads(self, n: int) -> bool:
        """Whether the GRM can be shown n responses together."""
        if self.pairs:
            return n == 2
        if self.answer == "regex":
            return n <= self.list_size
        return self.preset is None or n <= PRESETS[self.preset].largest

    @property
    def pairs(self) -> bool:
        """Whether the GRM reads lists of exactly two responses, and no others."""
        if self.preset is not None and PRESETS[self.preset].pairs:
            return True
        return self.answer == "verdict" or (self.preset is None and self.answer == "regex" and self.list_size == 2)

    @property
    def compares(self) -> bool:
        """Whether all that the GRM is shown is pairs: it reads nothing else, or the mode shows nothing else."""
        return self.pairs or self.mode == "pairwise"

    @property
    def shown_together(self) -> int:
        """Most responses that the GRM is shown at once."""
        return 2 if self.mode == "pairwise" else self.list_size
