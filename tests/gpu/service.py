"""A part of `python tests/gpu`: a service on Ray whose replica has the GPU that Ray gave it."""

from __future__ import annotations

import subprocess
import sys

from part import HERE, Wrong, end_with, options_of

TEST = f"{HERE / 'test_vllm_gpu.py'}::test_a_service_on_ray_rewards[False]"


def run() -> dict[str, str]:
    command = [sys.executable, "-m", "pytest", "-q", TEST]
    ended = subprocess.run(command, cwd=HERE.parents[1], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last = ended.stdout.strip().splitlines()[-1:]
    if ended.returncode:
        raise Wrong(ended.stdout[-2000:], {})
    return {"pytest": "".join(last)}


if __name__ == "__main__":
    options_of(__doc__).parse_args()
    end_with(run)
