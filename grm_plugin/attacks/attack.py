"""What an attack is: a text, and how it gets into a response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["format", "persuasion", "control"]
"""format: tries to pass for structure (a score, a fence, a turn). persuasion: tries to be believed. control: no attack,
but an addition that should be worth nothing."""

Place = Literal["after", "before", "instead", "between"]


@dataclass(frozen=True, slots=True)
class Injection:
    """A text, and where it goes: after or before a response, instead of it, or between all its characters."""

    text: str
    place: Place = "after"

    def into(self, response: str) -> str:
        """The response with the text in it."""
        match self.place:
            case "after":
                return f"{response}\n\n{self.text}"
            case "before":
                return f"{self.text}\n\n{response}"
            case "between":
                return self.text.join(response)
            case "instead":
                return self.text


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack of the corpus. `id` is its family and a number, stable as long as the family's list only grows."""

    id: str
    family: str
    kind: Kind
    injection: Injection

    def on(self, response: str) -> str:
        """The attacked response."""
        return self.injection.into(response)

    @property
    def alone(self) -> str | None:
        """The attack in place of a response; None for one that stands between a response's characters."""
        return None if self.injection.place == "between" else self.injection.text
