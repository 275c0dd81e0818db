"""Reads text files: UTF-8, with or without a byte order mark. A file in another encoding is told by its name."""

from __future__ import annotations

import json
from pathlib import Path

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8; the message names the encoding, or the first wrong byte and its line.
    """
    content = path.read_bytes()
    require_utf_8(content[:4])
    return decode(content.removeprefix(BYTE_ORDER_MARK))


def require_utf_8(start: bytes) -> None:
    """Check the first four bytes of a file: UTF-16 and UTF-32 show there, by their mark or by their zeros.

    Raises:
        ValueError: the file is in one of these encodings; the message names it.
    """
    encoding = json.detect_encoding(start)
    if not encoding.startswith("utf-8"):
        raise ValueError(f"the file is {encoding[:6].upper()}: save it as UTF-8")


def decode(content: bytes) -> str:
    """The text that these bytes of a file hold.

    Raises:
        ValueError: they are not UTF-8; the message says where.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start)
        where = f"offset {error.start}" + (f" (line {line + 1})" if line else "")
        raise ValueError(f"byte 0x{content[error.start]:02x} at {where} is not UTF-8: save the file as UTF-8") from None
