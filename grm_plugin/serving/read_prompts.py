"""Prompts as they were read last: the siblings of a prompt come with it one by one, each in a call of its own."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from grm_plugin.conversation.plain_json import identity_of
from grm_plugin.conversation.reader import ConversationReader
from grm_plugin.types import Conversation, Sample

KEPT = 1024
"""Prompts that are kept: those of the groups that come at the same time."""

LONGEST_KEPT = 16_384
"""Characters of the longest prompt that is kept: all of them together take a few megabytes."""


class ReadPrompt(NamedTuple):
    """A prompt's turns, and the name by which its samples know each other (`Sample.identity`)."""

    conversation: Conversation
    identity: str


class ReadPrompts:
    """Reads prompt texts. Samples with equal prompts share what was read: it is in memory once for all of them.

    Args:
        reader: reads one that is not known.
    """

    def __init__(self, reader: ConversationReader) -> None:
        self._reader = reader
        self._remembered = lru_cache(KEPT)(self._read)

    def read(self, prompt: str) -> ReadPrompt:
        """What the prompt holds.

        Raises:
            PromptError: a token that stands for an image, a sound or a video.
        """
        return self._remembered(prompt) if len(prompt) <= LONGEST_KEPT else self._read(prompt)

    def _read(self, prompt: str) -> ReadPrompt:
        return ReadPrompt(self._reader.read(prompt), identity_of(prompt))


class SharedPrompts:
    """Prompts of samples that come one by one from another process, each with a copy of its own."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Conversation] = OrderedDict()

    def shared(self, sample: Sample) -> Sample:
        """The sample; its conversation is in memory once for all of the same prompt."""
        if self._kept.get(sample.identity) == sample.conversation:
            return replace(sample, conversation=self._kept[sample.identity])
        self._kept[sample.identity] = sample.conversation
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return sample
