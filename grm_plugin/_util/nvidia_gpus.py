"""The NVIDIA GPUs of this machine, as its driver names them; nothing is loaded onto them to find out."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
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
    rows = [[cell.strip() for cell in line.split(",")] for line in _ask(NVIDIA_SMI).splitlines()]
    whole = [
        GPU(f"GPU {index}", int(total) * MIB, int(used) * MIB)
        for index, uuid, total, used in rows
        if chosen is None or any(entry == index or uuid.startswith(entry) for entry in chosen)
    ]
    return whole + _parts([entry for entry in chosen or () if entry.startswith("MIG-")])


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
