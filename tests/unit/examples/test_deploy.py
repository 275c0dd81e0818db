"""The files of examples/deploy, each held against the tool of its platform, and against what the service does.

What is a system package (systemd) is skipped where it is missing; the other tools are pinned with the test tools.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.serving.http.auth import OPEN_PATHS
from grm_plugin.serving.stop_times import RAY_STOP_S
from support.paths import ROOT

DEPLOY = ROOT / "examples" / "deploy"
KUBERNETES = "1.32"
VLLM_SHARED_MEMORY_MIB = 160
UNITS = {"mb": 1, "gb": 1024, "Mi": 1, "Gi": 1024, "": 1, "s": 1, "m": 60, "h": 3600}
TEXT = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and "secrets" not in path.parts]


def tool(name: str) -> str:
    """Where a tool is, which is beside this Python or on the PATH."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, f"{name} is not installed; it is pinned in configs/requirements-cpu.txt"
    return found


def run(*command: str) -> str:
    """What the command prints; it must end well."""
    done = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def amount(text: str) -> float:
    """A size in MiB, or a time in seconds."""
    number, unit = re.fullmatch(r"(\d+)(\w*)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def documents(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / file).read_text()))


def compose() -> dict[str, Any]:
    service: dict[str, Any] = documents("compose.yaml")[0]["services"]["grm"]
    return service


def rayjob_groups() -> list[dict[str, Any]]:
    cluster = documents("kubernetes/rayjob.yaml")[0]["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def pods() -> dict[str, dict[str, Any]]:
    """The templates of all pods, by what they are of."""
    deployment = documents("kubernetes/service.yaml")[0]["spec"]["template"]
    head, workers = (group["template"] for group in rayjob_groups())
    return {"deployment": deployment, "head": head, "workers": workers}


PODS = pytest.mark.parametrize("pod", ["deployment", "head", "workers"])


@pytest.mark.parametrize("path", TEXT, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_the_files_that_they_name_are_there(path: Path) -> None:
    named = re.findall(r"(?<![\w/.-])(?:examples|configs|tests|integrations)/[\w./-]*\w\.\w+", path.read_text())
    named += re.findall(r"/opt/grm_plugin/((?:examples|configs)/[\w./-]+\w)", path.read_text())
    made = "examples/deploy/secrets/"
    assert not [name for name in named if not (ROOT / name).exists() and not name.startswith(made)]


def test_the_dockerfile() -> None:
    assert run(tool("hadolint"), "Dockerfile") == ""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY"):
            *sources, _ = line.split()[1:]
            assert all((ROOT / source).exists() and f"!{source}" in ignored for source in sources), line
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users
    assert users[-1] not in ("root", "0")
    assert "-devel-" in next(line for line in lines if line.startswith("ARG CUDA="))


def test_the_image_serves_a_configuration_that_it_has() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    [command] = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert host_of(json.loads(command)) == "0.0.0.0"


def host_of(arguments: list[str]) -> str:
    """`service.host` of a `serve` command, whose configuration is read."""
    command, *options = " ".join(arguments).replace("--config=", "--config ").split()
    assert (command, options[0]) == ("serve", "--config")
    overrides, rest = split_overrides(options[2:])
    assert not rest
    return load_config(ROOT / options[1], overrides).service.host


def test_the_compose_file() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    service = compose()
    assert amount(service["shm_size"]) >= VLLM_SHARED_MEMORY_MIB
    assert amount(service["stop_grace_period"]) > RAY_STOP_S
    assert service["healthcheck"]["test"][-1].removeprefix("http://127.0.0.1:8790") in OPEN_PATHS
    assert all(published.startswith("127.0.0.1:") for published in service["ports"])


def test_the_command_of_the_compose_file_takes_its_tokens_from_files(tmp_path: Path) -> None:
    """Run by its own shell, with a stand-in for grm-plugin that prints what it gets."""
    service = compose()
    [script] = service["command"]
    assert service["entrypoint"] == ["tini", "--", "sh", "-c"]
    printing = tmp_path / "grm-plugin"
    printing.write_text('#!/bin/sh\necho "$GRM_TOKEN $GRM_METRICS_TOKEN $*"\n')
    printing.chmod(0o755)
    for name in service["secrets"]:
        (tmp_path / name).write_text(f"the-{name}\n")
    script = script.replace("$$", "$").replace("/run/secrets/", f"{tmp_path}/")
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    said = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
    token, metrics_token, *arguments = said.split()
    assert (token, metrics_token) == ("the-grm_token", "the-grm_metrics_token")
    assert host_of(arguments) == "0.0.0.0"


@pytest.mark.parametrize("number", range(4))
def test_the_kubernetes_objects(number: int) -> None:
    document = documents("kubernetes/service.yaml")[number]
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_a_wrong_field_of_a_kubernetes_object_is_found() -> None:
    document = documents("kubernetes/service.yaml")[0]
    document["spec"]["template"]["spec"]["terminationGracePeriod"] = 75
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@PODS
def test_the_pods(pod: str) -> None:
    template = pods()[pod]
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "grm"}, "spec": template["spec"]}
    kubernetes_validate.validate(whole, KUBERNETES, strict=True)
    spec = template["spec"]
    assert spec["terminationGracePeriodSeconds"] > RAY_STOP_S
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["enableServiceLinks"] is False
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    [container] = spec["containers"]
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    memory = mounts["/dev/shm"]["emptyDir"]
    assert memory["medium"] == "Memory"
    assert amount(memory["sizeLimit"]) >= VLLM_SHARED_MEMORY_MIB
    assert "persistentVolumeClaim" in mounts["/models"]
    tokens = {variable["name"]: variable for variable in container["env"]}
    assert tokens["GRM_TOKEN"]["valueFrom"].keys() == {"secretKeyRef"}


def test_the_probes_ask_what_takes_no_token_and_a_port_that_is_there() -> None:
    [container] = pods()["deployment"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in OPEN_PATHS
        assert ports[asked["port"]] == 8790
    assert host_of(container["args"]) == "0.0.0.0"


def test_the_rayjob_has_only_fields_that_kuberay_knows() -> None:
    """Of its custom resource in version 1.7, without what pods have; the pods are looked at above."""
    known = json.loads((Path(__file__).parent / "rayjob_fields.json").read_text())
    job, *claims = documents("kubernetes/rayjob.yaml")
    head, workers = rayjob_groups()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    for name, section in (
        ("RayJob.spec", job["spec"]),
        ("rayClusterSpec", job["spec"]["rayClusterSpec"]),
        ("headGroupSpec", head),
        ("workerGroupSpecs", workers),
    ):
        assert section.keys() <= set(known[name]), name
    assert all(isinstance(value, str) for group in (head, workers) for value in group["rayStartParams"].values())
    for claim in claims:
        kubernetes_validate.validate(claim, KUBERNETES, strict=True)


def test_the_rayjob_runs_the_ray_that_is_tested_and_a_script_that_is_there() -> None:
    spec = documents("kubernetes/rayjob.yaml")[0]["spec"]
    pinned = (ROOT / "configs" / "requirements-cpu.txt").read_text()
    assert f"\nray=={spec['rayClusterSpec']['rayVersion']}\n" in pinned
    shell, option, script = shlex.split(spec["entrypoint"])
    assert (shell, option) == ("bash", "-c")
    entered, started = script.split(" && ")
    assert entered == "cd /opt/grm_plugin"
    assert (ROOT / started.split()[1]).exists()
    claims = {claim["metadata"]["name"] for claim in documents("kubernetes/rayjob.yaml")[1:]}
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for group in rayjob_groups()
        for volume in group["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert used == claims


SCRIPTS = ["one_node.sh", "several_nodes.sh"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_slurm_scripts(script: str) -> None:
    assert run(tool("shellcheck"), "--severity=style", f"slurm/{script}") == ""
    text = (DEPLOY / "slurm" / script).read_text()
    first_command = re.search(r"^(?!#|$)", text, re.MULTILINE)
    assert first_command is not None
    assert "\n#SBATCH" not in text[first_command.start() :], "Slurm reads no options below the first command"
    assert os.access(DEPLOY / "slurm" / script, os.X_OK)


def unit() -> Iterator[tuple[str, str]]:
    for line in (DEPLOY / "systemd" / "grm-plugin.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            yield key, value


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("wrong", ["", "RestartSeconds=5\n"], ids=["as it is", "with a wrong key"])
def test_the_systemd_unit(wrong: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / "grm-plugin.service").read_text()
    # The program is looked for, and is on the machine of who runs it.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
    copy = tmp_path / "grm-plugin.service"
    copy.write_text(text.replace("[Service]\n", f"[Service]\n{wrong}"))
    said = run("systemd-analyze", "verify", str(copy))
    assert ("RestartSeconds" in said) == bool(wrong)
    assert wrong or not said


def test_the_systemd_unit_lets_the_service_stop_and_is_not_root() -> None:
    keys = dict(unit())
    assert float(keys["TimeoutStopSec"]) > RAY_STOP_S
    assert keys["KillMode"] == "mixed"
    assert keys["User"] not in ("", "root")
    assert "PrivateDevices" not in keys, "it would hide the GPUs"
