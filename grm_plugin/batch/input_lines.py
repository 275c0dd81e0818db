"""The lines of an input file, read one by one, and the message about a line that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from grm_plugin._util.json_values import RepeatedKey, parse_json
from grm_plugin._util.text_files import BYTE_ORDER_MARK, decode, require_utf_8
from grm_plugin.errors import ConfigError, WireError


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, with their numbers (from 1). A byte order mark is left out.

    Raises:
        ConfigError: the file cannot be read, or is UTF-16 or UTF-32: then no line of it is a line.
    """
    try:
        with path.open("rb") as stream:
            require_utf_8(stream.peek(4)[:4])
            for number, text in enumerate(stream, start=1):
                if number == 1:
                    text = text.removeprefix(BYTE_ORDER_MARK)
                if text.strip():
                    yield number, text
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def parse_line(text: bytes) -> Any:
    """The JSON value on a line, as `parse_json` reads it.

    Raises:
        WireError: it is not UTF-8, or no JSON, or has a key twice.
    """
    line = decode_line(text)
    try:
        return parse_json(line)
    except RepeatedKey as error:
        raise WireError(str(error)) from None
    except ValueError as error:
        raise WireError(f"no JSON ({error})") from None


def decode_line(text: bytes) -> str:
    """The text of a line.

    Raises:
        WireError: it is not UTF-8.
    """
    try:
        return decode(text)
    except ValueError as error:
        raise WireError(str(error)) from None


def require_single_keys(text: str) -> None:
    """Check a line that pydantic reads, which would take the last of two values. It tells all else that is wrong.

    Raises:
        WireError: an object has a key twice.
    """
    try:
        parse_json(text)
    except RepeatedKey as error:
        raise WireError(str(error)) from None
    except ValueError:
        pass


def explain_validation(error: ValidationError, names: Mapping[str, str] | None = None) -> str:
    """What is wrong with a line, field by field, in one line of text.

    Args:
        error: of the line.
        names: field -> the name that the line has for it, where that is another one.
    """
    problems = []
    for item in error.errors():
        location = [*item["loc"]]
        location[:1] = [(names or {}).get(str(field), field) for field in location[:1]]
        message = "Input should be an object" if item["type"] == "model_type" else item["msg"]
        problems.append(_problem(location, message))
    return "; ".join(problems)


def _problem(location: Sequence[int | str], message: str) -> str:
    text = message.removeprefix("Value error, ").replace(" at line 1 column", " at column")
    return f"{'.'.join(map(str, location))}: {text}" if location else text
