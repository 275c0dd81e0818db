"""The CPU profile: runs an unmodified job of OpenRLHF, DeepSpeed and vLLM's CPU build on a machine without a GPU.

    python -m grm_plugin.cpu -- python -m openrlhf.cli.train_ppo_ray ...

or, where no path holds a space:

    env $(python -m grm_plugin.cpu --env) python -m openrlhf.cli.train_ppo_ray ...

Both set `GRM_CPU=1`, some defaults (`environment`), and a PYTHONPATH entry whose `sitecustomize` calls `enable` in
every Python process of the job: the driver, Ray's workers, vLLM's engine and its workers. `enable` registers import
hooks (`import_hooks`), which patch a module in memory right after its import; no file of a package is changed. Each
patch is one function in `patches_*`, whose docstring says what fails without it. A launcher that runs such a job in its
own process does both itself, before it imports a framework: `os.environ.update(environment()); enable()`.

The profile does nothing without `GRM_CPU=1`, and nothing where CUDA is present (`device.cuda_present`). It is meant for
one machine. It is written for OpenRLHF 0.11.2, DeepSpeed 0.19, Ray 2.55 and vLLM 0.32; where another version has moved
a patched name, the job stops with an error that names it.
"""

from __future__ import annotations

from grm_plugin.cpu.profile import enable, environment

__all__ = ["enable", "environment"]
