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
    """A draft beside `path` to write to; it takes the place of `path` if the block ends without an error.

    Whoever reads `path`, also after a crash, finds the former file or the new one, and never a part. Each draft has
    another name, so that several processes may write one path. Missing folders are made. A link stays a link, and a
    device or a pipe, such as /dev/stdout, is written to directly.

    Args:
        path: the file to write.
        source: the option or key that names the file, for the error's message.

    Raises:
        ConfigError: the file cannot be written (the disk is full, the folder is read-only ...).
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
    """Write the content to the disk now, before the draft is renamed: or a loss of power could leave an empty file."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
