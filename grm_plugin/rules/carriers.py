"""What the configuration names as a rule."""

from __future__ import annotations

from dataclasses import dataclass

from grm_plugin.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RuleFunction:
    """The function `name` in the Python file at `path`."""

    path: str
    name: str

    @classmethod
    def parse(cls, rule: str, text: str) -> RuleFunction:
        """Read `file.py:function`.

        Args:
            rule: the criterion's name, for the message.
            text: an absolute path, a colon, and a function's name.

        Raises:
            ConfigError: it reads otherwise.
        """
        path, _, name = text.rpartition(":")
        if not path.endswith(".py") or not name.isidentifier():
            raise ConfigError(f"rule {rule!r}: {text!r} names no function; write it as file.py:function")
        return cls(path, name)
