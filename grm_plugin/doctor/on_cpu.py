"""Whether vLLM's CPU build can run the models of a configuration: it starts with any, and answers with small ones."""

from __future__ import annotations

from grm_plugin.config import Config
from grm_plugin.doctor.findings import Finding, error, ok, warning
from grm_plugin.engines.model_files import find_folder, named_parameters, read_files, vllm_models

LARGEST_PARAMETERS = 2e9
"""A model of more parameters writes a critique on a CPU in minutes, and a step's in days."""
LARGEST_BYTES = 2 * LARGEST_PARAMETERS

NEEDS_GPU = (
    "run it on a machine with GPUs and vLLM's GPU build (or set RAY_ADDRESS to such a cluster), or take engine.type "
    "openai and a server that has them"
)


def check_on_cpu(config: Config) -> list[Finding]:
    """A finding for each model that a CPU build is to run here, without any GPU.

    An error where the model is large: by its weights, if they are on this machine, else by the size in its name
    (`...-16B`) or a `tensor_parallel_size` above 1. A warning where nothing says how large it is.
    """
    findings = []
    for section, model in vllm_models(config).items():
        folder, parameters = find_folder(model.model), named_parameters(model.model)
        files = read_files(folder) if folder else None
        if files and files.weights and not files.missing:
            large, known = files.weights > LARGEST_BYTES, f"{files.weights / 1e9:,.3g} GB of weights"
        elif parameters is not None:
            large, known = parameters > LARGEST_PARAMETERS, f"{parameters / 1e9:,.3g} B parameters by its name"
        elif model.tensor_parallel_size > 1:
            large, known = True, f"tensor_parallel_size {model.tensor_parallel_size}"
        else:
            large, known = False, "its size is not known here"
            findings.append(
                warning(
                    "gpus",
                    f"{section}.model {model.model} would run on the CPU, and {known}",
                    f"a model above {LARGEST_PARAMETERS / 1e9:g} B parameters needs GPUs: {NEEDS_GPU}",
                )
            )
        if large:
            named = f"{section}.model {model.model} ({known})"
            findings.append(error("gpus", f"{named} needs GPUs: there is none, and vLLM is a CPU build", NEEDS_GPU))
    return findings or [ok("gpus", "none needed: this vLLM is a CPU build, and the models are small")]
