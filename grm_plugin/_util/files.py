"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grm_plugin.errors import ConfigError


@contextmanager
def replacing(path: Path, source: str = "") -> Iterator[Path]:
    """A draft beside `path` to write to; it takes the place of `path` where the block ends without an error.

    A reader, or a crash at any moment, sees the former file or the new one, and never a part. Drafts have names of
    their own, so that writers of one path do not take each other's. Folders are made. A link stays a link, and a device
    or a pipe, such as /dev/stdout, is written to directly.

    Args:
        path: the file to write.
        source: the option or key that named it; begins the message.

    Raises:
        ConfigError: the disk is full, or the folder cannot be written.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            yield draft
            _sync(draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{source} {path} cannot be written: {error.strerror or error}".lstrip()) from None


def _sync(path: Path) -> None:
    """The content reaches the disk before the name does: after a loss of power there is no empty file in its place."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
