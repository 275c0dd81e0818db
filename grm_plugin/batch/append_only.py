"""A JSONL file that rows are only added to, so that a killed run can go on where it stopped."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from grm_plugin.errors import ConfigError


class AppendOnlyFile:
    """A JSONL file that is open for adding rows. Only one process may have it open at a time.

    When `append` returns, the operating system has the row: kill -9 loses no row that was added. Where the machine
    crashed while a row was being written, the half row is removed when the file is opened again.

    Args:
        path: the file; it and its folders are made where they are missing.
        row_start: the bytes that every row begins with. Only a last line that begins like this and has no end is
            taken for a half row and removed: the file might be somebody else's, given by mistake.
        on_row: called with every row that is there already and its line number; raises an error to refuse the file.

    Raises:
        ConfigError: the file cannot be written or locked, or is in use by another run.
    """

    def __init__(self, path: Path, row_start: bytes, on_row: Callable[[bytes, int], None]) -> None:
        self.path = path
        self._row_start = row_start
        self._stream = _open(path)
        try:
            self._read(on_row)
        except BaseException:
            self.close()
            raise

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row.

        Raises:
            ConfigError: the disk is full, or gone.
        """
        # A lone surrogate, which UTF-8 cannot hold, becomes its own JSON escape.
        left = json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"
        file = self._stream.fileno()
        size_before = os.fstat(file).st_size
        try:
            while left:
                left = left[os.write(file, left) :]
        except OSError as error:
            with suppress(OSError):  # the next row must not follow a part of this one
                os.ftruncate(file, size_before)
            raise ConfigError(
                f"{self.path} cannot be written: {error.strerror or error}; the same command goes on from here"
            ) from None

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self, on_row: Callable[[bytes, int], None]) -> None:
        end_of_row = 0
        self._stream.seek(0)
        for number, text in enumerate(self._stream, start=1):
            if not text.endswith(b"\n") and text.startswith(self._row_start[: len(text)]):
                self._stream.truncate(end_of_row)
                break
            end_of_row += len(text)
            on_row(text, number)


def _open(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+b")
    except OSError as error:
        raise ConfigError(f"--output {path} cannot be written: {error.strerror or error}") from None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise ConfigError(f"--output {path} is in use by another run: wait for it, or give another file") from None
    except OSError as error:
        stream.close()
        raise ConfigError(
            f"--output {path} cannot be locked: {error.strerror or error}; give a file on a local disk (Lustre locks "
            "files where it is mounted with -o flock)"
        ) from None
    return stream
