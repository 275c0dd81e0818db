"""The NVIDIA GPUs of this machine, as its driver names them; nothing is loaded onto them to find out."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NVIDIA_SMI = ("nvidia-smi", "--query-gpu=index,uuid,memory.total,memory.used", "--format=csv,noheader,nounits")
NVIDIA_SMI_PARTS = ("nvidia-smi", "-L")
NVIDIA_SMI_DEADLINE_S = 15.0
MIB, GIB = 2**20, 2**30

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class GPU:
    """A GPU of this machine; memory in bytes."""

    name: str
    total: int
    used: int


def local_gpus() -> list[GPU]:
    """The NVIDIA GPUs that this process may use (CUDA_VISIBLE_DEVICES); empty where there is no driver.

    Parts of a GPU (MIG) count as GPUs where CUDA_VISIBLE_DEVICES names them; what others use of them is not known.
    """
    visible = os.environ.get(VISIBLE)
    chosen = None if visible is None else [entry.strip() for entry in visible.split(",") if entry.strip()]
    whole = list(_whole_gpus())
    if chosen is not None:  # in the order in which they are named
        whole = [
            (uuid, gpu) for entry in chosen for uuid, gpu in whole if entry == gpu.name[4:] or uuid.startswith(entry)
        ]
    return [gpu for _, gpu in whole] + _parts([entry for entry in chosen or () if entry.startswith("MIG-")])


def _whole_gpus() -> Iterator[tuple[str, GPU]]:
    """Each GPU with its UUID; without those of which the driver does not say how large they are."""
    for line in _ask(NVIDIA_SMI).splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 4 and cells[2].isdecimal():
            index, uuid, total, used = cells
            yield uuid, GPU(f"GPU {index}", int(total) * MIB, int(used) * MIB if used.isdecimal() else 0)


def _parts(chosen: Sequence[str]) -> list[GPU]:
    """The MIG devices with these names, or beginnings of names."""
    if not chosen:
        return []
    found = re.findall(r"MIG \S*?(\d+)gb\S*\s+Device\s+\d+: \(UUID: (MIG-[^)\s]+)\)", _ask(NVIDIA_SMI_PARTS))
    return [GPU(uuid, int(gb) * GIB, 0) for gb, uuid in found if uuid.startswith(tuple(chosen))]


def _ask(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_DEADLINE_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
