"""Reads what verl's reward loop hands over about a sample: knows verl's field names, and imports nothing of verl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grm_plugin._util.text import encodable
from grm_plugin.client.contiguous_groups import BatchRow
from grm_plugin.conversation.labels import NO_LABEL, Label, is_missing, read_label
from grm_plugin.conversation.media import refuse_media_fields
from grm_plugin.conversation.messages import readable
from grm_plugin.errors import GroupError

IMAGES = ("multi_modal_data",)
"""Where verl has a row's images, sound and video."""


@dataclass(frozen=True, slots=True)
class GroupSizes:
    """Samples per prompt: `rollout.n` in training, `rollout.val_kwargs.n` in validation."""

    training: int
    validation: int


@dataclass(frozen=True, slots=True)
class Member:
    """One sample of a prompt.

    `uid` names the prompt's group of `n` samples, and `session` this sample in it; None where verl does not number them
    (its trainers before V1). `prompt` holds messages, which the service reads.
    """

    uid: str
    n: int
    session: int | None
    prompt: Sequence[Mapping[str, Any]]
    response: str
    label: Label = NO_LABEL
    learn: bool = True
    """False in validation."""

    @property
    def row(self) -> BatchRow:
        """The sample as a row of a batch."""
        return BatchRow(self.prompt, self.response, *self.label)


def read_member(fields: Mapping[str, Any], response: str, sizes: GroupSizes, validate: bool = False) -> Member:
    """The member that `fields` (`non_tensor_batch` of one sample) describe.

    It is of validation if verl says so (`validate`, of its batches' meta_info), or its extra_info does (`split`).

    Raises:
        GroupError: verl does not say which prompt the sample belongs to.
        PromptError: there is no prompt, or it holds more than text, or the label has unknown fields.
    """
    refuse_media_fields(fields, IMAGES, "a sample")
    if fields.get("uid") is None:
        raise GroupError(
            "verl hands over a sample without its uid, so its group is unknown: the reward model shares the policy's "
            "GPUs (colocated). The GRM needs no GPU of verl's: set reward.reward_model.enable=False"
        )
    session = fields.get("session_id")
    session = None if session is None else int(session)
    return Member(
        uid=str(fields["uid"]),
        n=group_size(fields.get("extra_info"), session, sizes),
        session=session,
        prompt=read_prompt(fields.get("raw_prompt")),
        response=encodable(response),
        label=_label(fields),
        learn=not validate and in_training(fields.get("extra_info")),
    )


def group_size(extra_info: Mapping[str, Any] | None, session: int | None, sizes: GroupSizes) -> int:
    """How many samples the prompt of a row has. verl does not tell, so the row's extra_info is read.

    It may hold `rollout_n` (for prompts with a `__rollout_n__` of their own), else `split`, which verl's data scripts
    write: any but "train" is validation.
    """
    info = extra_info or {}
    if info.get("rollout_n") is not None:
        return int(info["rollout_n"])
    n = sizes.training if in_training(info) else sizes.validation
    if session is not None and session >= n:  # `split` cannot be right
        return max(sizes.training, sizes.validation, session + 1)
    return n


def in_training(extra_info: Mapping[str, Any] | None) -> bool:
    """Whether a row is of the training set: verl's data scripts write `split`."""
    return bool((extra_info or {}).get("split", "train") == "train")


def read_prompt(raw_prompt: Any) -> list[dict[str, Any]]:
    """The messages in a row's prompt: a text is one user turn.

    Raises:
        PromptError: there is no prompt, it is no list of messages, or it holds images, video or audio.
    """
    if isinstance(raw_prompt, str):
        return [{"role": "user", "content": encodable(raw_prompt)}]
    return readable(() if raw_prompt is None else raw_prompt)


def _label(fields: Mapping[str, Any]) -> Label:
    """The label of a row: of its ground truth, with rubric and criteria in its extra_info; verl names the source.

    Data for verl-rubric has the criteria as `rubrics` in `reward_model`, there or in the extra_info.
    """
    reward_model, info = (fields.get(name) or {} for name in ("reward_model", "extra_info"))
    inner = info.get("reward_model")
    places = (
        info.get("criteria"),
        reward_model.get("rubrics"),
        inner.get("rubrics") if isinstance(inner, dict) else None,
    )
    criteria = next((place for place in places if not is_missing(place)), None)
    return read_label(reward_model.get("ground_truth"), info.get("rubric"), criteria, fields.get("data_source"))
