"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from grm_plugin._util.files import replacing
from grm_plugin.errors import ConfigError


def test_the_former_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.json"
    with replacing(path) as draft:
        draft.write_text("first")
        assert not path.exists()
    with replacing(path) as draft:
        draft.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_in_the_block_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("former")

    def write() -> None:
        with replacing(path) as draft:
            draft.write_text("part")
            raise RuntimeError("no more rows")

    with pytest.raises(RuntimeError, match="no more rows"):
        write()
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_named_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "file" / "x", "File exists")):
        with (
            pytest.raises(ConfigError, match=f"^--output {path} cannot be written: {reason}"),
            replacing(path, "--output") as draft,
        ):
            draft.write_text("x")


def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "file.json", []
    sync = os.fsync

    def watch(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    with replacing(path) as draft:
        draft.write_text("content")
    assert synced == [(len("content"), False)]


def test_writers_of_one_path_do_not_take_each_others_drafts(tmp_path: Path) -> None:
    """As ranks under torchrun, and as threads: with a draft's name in common the last one has nothing to rename."""
    path, together = tmp_path / "file.json", threading.Barrier(4)
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with replacing(path) as draft:
                draft.write_text(str(number) * 10)
                together.wait(10)
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)
    assert not failed
    assert path.read_text() in {str(number) * 10 for number in range(4)}
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(target)
    with replacing(link) as draft:
        draft.write_text("content")
    assert link.is_symlink()
    assert target.read_text() == "content"
    os.mkfifo(pipe)
    with replacing(pipe) as place:
        assert place == pipe
    assert pipe.is_fifo()
