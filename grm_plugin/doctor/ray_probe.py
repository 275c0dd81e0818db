"""Prints the GPUs of the Ray cluster of RAY_ADDRESS as JSON; `gpus.py` runs it as a child process."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

from grm_plugin.errors import ServiceError
from grm_plugin.serving.ray.gpus import cluster_gpus
from grm_plugin.serving.ray.launch import connect

if __name__ == "__main__":
    try:
        connect(default=os.environ["RAY_ADDRESS"])
    except ServiceError as error:
        sys.exit(str(error))
    print(json.dumps(asdict(cluster_gpus())))
