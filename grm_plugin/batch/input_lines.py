"""The lines of an input file, read one by one, and the message about a line that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from grm_plugin.errors import ConfigError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, with their numbers (from 1). A byte order mark is left out.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            for number, text in enumerate(stream, start=1):
                if number == 1:
                    text = text.removeprefix(BYTE_ORDER_MARK)
                if text.strip():
                    yield number, text
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None


def explain_validation(error: ValidationError) -> str:
    """What is wrong with a line, field by field, in one line of text."""
    return "; ".join(_problem(item["loc"], item["msg"]) for item in error.errors())


def _problem(location: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ").replace(" at line 1 column", " at column")
    return f"{'.'.join(map(str, location))}: {text}" if location else text
