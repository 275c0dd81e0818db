"""The Slurm script for several nodes, with a real Ray: two nodes on this machine. Some 40 s.

Slurm itself is not to be had here: stand-ins run its steps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT
from support.ray_cluster import end_session, free_port, session_processes, wait_for

pytest.importorskip("ray")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

DEADLINE_S = 200.0
SCRIPT = ROOT / "examples" / "deploy" / "slurm" / "several_nodes.sh"
JOB = """
import os, ray, sys
ray.init(log_to_driver=False)
print("nodes", sum(node["Alive"] for node in ray.nodes()), "token", len(os.environ["GRM_TOKEN"]) > 30, flush=True)
sys.exit(7)
"""
STAND_INS = {
    # Runs a step here: on the first node, and, for what excludes it, on all others.
    "srun": '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
    "scontrol": "#!/bin/bash\nprintf 'first\\nsecond\\n'\n",
    "hostname": "#!/bin/bash\necho 127.0.0.1 10.99.0.1\n",
}


def test_the_job_runs_when_all_nodes_have_joined_and_its_status_is_the_scripts(tmp_path: Path) -> None:
    for name, text in STAND_INS.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    left_out = ("RAY_ADDRESS", "GRM_TOKEN", "GRM_CPU")
    environ = {key: value for key, value in os.environ.items() if key not in left_out} | {
        "PATH": os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_ID": str(free_port() - 20_000),  # the script's port follows from it
        "SLURM_CPUS_ON_NODE": "1",
        "SLURM_GPUS_ON_NODE": "0",
        "JOIN_S": "120",
    }
    log = tmp_path / "job.log"
    command = ["bash", str(SCRIPT), sys.executable, "-c", JOB]
    with log.open("wb") as out:
        script = subprocess.Popen(command, env=environ, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        status = script.wait(DEADLINE_S)
        said = log.read_text()
        assert "nodes 2 token True" in said, said
        assert status == 7, said
        wait_for(lambda: not session_processes(script.pid), 60.0, "the end of Ray with the script")
    finally:
        end_session(script)
