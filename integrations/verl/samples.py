"""Reads what verl's reward loop hands over about a sample: knows verl's field names, and imports nothing of verl."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grm_plugin._util.text import encodable
from grm_plugin.conversation.messages import as_reference, to_conversation
from grm_plugin.errors import GroupError
from grm_plugin.types import Conversation, Message


@dataclass(frozen=True, slots=True)
class GroupSizes:
    """Samples per prompt: `rollout.n` in training, `rollout.val_kwargs.n` in validation."""

    training: int
    validation: int


@dataclass(frozen=True, slots=True)
class Member:
    """One sample of a prompt.

    `uid` names the prompt's group of `n` samples, and `session` this sample in it; None where verl does not number them
    (its trainers before V1).
    """

    uid: str
    n: int
    session: int | None
    conversation: Conversation
    response: str
    reference: str | None = None
    learn: bool = True
    """False in validation."""


def read_member(fields: Mapping[str, Any], response: str, sizes: GroupSizes, validate: bool = False) -> Member:
    """The member that `fields` (`non_tensor_batch` of one sample) describe.

    It is of validation if verl says so (`validate`, of its batches' meta_info), or its extra_info does (`split`).

    Raises:
        GroupError: verl does not say which prompt the sample belongs to.
        PromptError: there is no prompt, or it holds more than text.
    """
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
        conversation=read_prompt(fields.get("raw_prompt")),
        response=encodable(response),
        reference=read_reference((fields.get("reward_model") or {}).get("ground_truth")),
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


def read_prompt(raw_prompt: Any) -> Conversation:
    """The conversation in a row's prompt: a text, or chat messages with text content.

    Raises:
        PromptError: there is no prompt, or it holds images, video or audio.
    """
    if isinstance(raw_prompt, str):
        return (Message("user", encodable(raw_prompt)),)
    return to_conversation(() if raw_prompt is None else raw_prompt)


def read_reference(ground_truth: Any) -> str | None:
    """The dataset's ground truth as text for the GRM, or None. verl reads its data with numpy."""
    return as_reference(ground_truth.tolist() if hasattr(ground_truth, "tolist") else ground_truth)
