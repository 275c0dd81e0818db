"""Published throughput of models like a GRM on one GPU, for a plan before anything has been measured.

None of them is of the released GRMs, for which no figure was found: take the nearest, and measure (`--probe`).
"""

from __future__ import annotations

from dataclasses import dataclass

from grm_plugin.serving.capacity import Measured, Speed


@dataclass(frozen=True, slots=True)
class Published:
    """One figure.

    Attributes:
        about: model, number format, GPU, engine, and who published it.
        step_s: the least that a step takes: the weights (active ones) over the GPU's memory bandwidth, in seconds.
        measured: tokens per second, and how many sequences were written meanwhile.
    """

    about: str
    step_s: float
    measured: Measured

    @property
    def speed(self) -> Speed:
        """The step takes its least; the rest of the measured time grows with the sequences."""
        running = self.measured.running
        token_s = running / self.measured.tokens_per_s
        return Speed(self.step_s, max(0.0, token_s - self.step_s) / running, int(running))


H100, H200 = 3.35e12, 4.8e12
"""Bytes per second of their memory."""

PUBLISHED = {
    "qwen3-32b-h100": Published(
        "Qwen3-32B, bfloat16, one H100, vLLM 0.11, ShareGPT prompts (GPUStack performance lab)",
        65.6e9 / H100,
        Measured(100, 1132),
    ),
    "qwen3.6-27b-h100": Published(
        "Qwen 3.6 27B, bfloat16, one H100, vLLM 0.19.1, 128 tokens in and out, 16 at once",
        54e9 / H100,
        Measured(16, 439),
    ),
    "qwen3.5-35b-a3b-h200": Published(
        "Qwen3.5-35B-A3B (a mixture of experts), bfloat16, one H200, vLLM 0.17.1, 512 at once (GPUStack performance "
        "lab)",
        6e9 / H200,
        Measured(512, 4348),
    ),
}
"""By the name that `--published` takes."""
