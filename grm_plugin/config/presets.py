"""What `judge.preset` sets: for each family of judges the prompt that its models know, and how their answer is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """The keys of the section `judge` for one family of judges.

    `models` are parts of the names of its weights, in small letters. `largest` is the longest list that they read, and
    with `pairs` they read nothing but lists of two. `source` says where the format is published.
    """

    keys: Mapping[str, Any]
    models: tuple[str, ...] = ()
    largest: int = 64
    pairs: bool = False
    source: str = ""


def _pairs(name: str, *models: str, source: str, answer: str = "verdict") -> Preset:
    keys = {"template": f"builtin:{name}", "answer": answer, "list_size": 2}
    return Preset(keys, models, largest=2, pairs=True, source=source)


def _of_five(name: str, *models: str, source: str) -> Preset:
    keys = {"template": f"builtin:{name}", "answer": "score", "scale": (1, 5), "list_size": 1}
    return Preset(keys, models, largest=1, source=source)


NEMOTRON_SCORES = (
    r"\[The Begin of Individual Scores\]\s*\\boxed\{\s*([^,{}\s]+)\s*(?:,\s*([^,{}\s]+)\s*)?\}\s*"
    r"\[The End of Individual Scores\]"
)

PRESETS: dict[str, Preset] = {
    "deepseek_grm": Preset(
        {"template": "builtin:deepseek_grm", "answer": "boxed"},
        ("deepseek-grm",),
        source="arXiv 2504.02495, appendix G",
    ),
    "any_instruct": Preset({"template": None, "answer": "boxed"}),
    "gpt_score": Preset({"template": None, "answer": "score", "list_size": 1}),
    "rm_r1": _pairs("rm_r1", "rm-r1", source="arXiv 2505.02387; RM-R1-UIUC/RM-R1"),
    "skywork_critic": _pairs("skywork_critic", "skywork-critic", source="model card of Skywork-Critic-Llama-3.1-8B"),
    "compass_judger": _pairs("compass_judger", "compassjudger", source="arXiv 2410.16256; open-compass/CompassJudger"),
    "prometheus_2": _of_five(
        "prometheus_2", "prometheus-7b", "prometheus-8x7b", source="arXiv 2405.01535; prometheus-eval"
    ),
    "prometheus_2_pairs": _pairs("prometheus_2_pairs", source="arXiv 2405.01535; prometheus-eval"),
    "selene": _of_five("selene", "selene-1", source="arXiv 2501.17195; atla-ai/selene-mini"),
    "j1": _pairs("j1", "j1-micro", "j1-nano", source="haizelabs/j1-micro", answer="boxed"),
    "nemotron_genrm": Preset(
        {
            "template": "builtin:nemotron_genrm",
            "answer": "regex",
            "pattern": NEMOTRON_SCORES,
            "scale": (1, 5),
            "list_size": 2,
        },
        ("nemotron-super-49b-genrm",),
        largest=2,
        source="arXiv 2505.11475; model card of Llama-3.3-Nemotron-Super-49B-GenRM",
    ),
}
"""By name. Keys that a user sets count over these; what a preset's template asks for can change only with it."""

BOUND_TO_TEMPLATE = ("answer", "scale", "pattern")
"""Keys that say what a template asks for."""


def known_judge(model: str) -> str | None:
    """The preset for a model of this name or path; None for one that is in no family here."""
    name = model.lower().replace("_", "-")
    return next((preset for preset, it in PRESETS.items() if any(part in name for part in it.models)), None)
