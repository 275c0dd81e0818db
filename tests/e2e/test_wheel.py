"""The wheel, installed into an empty environment: what a user has who never saw the repository.

The environment holds the wheel and the packages that it names, of the versions that are installed here, and nothing
else: no checkout, no vLLM, no Ray, no torch.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from grm_plugin.config.shipped import IN_CHECKOUT, shipped_configs
from support.paths import ROOT
from support.ray_cluster import free_port
from support.score_files import read_rows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SOURCES = ("grm_plugin", "integrations", "configs", "pyproject.toml", "README.md", "LICENSE")
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRM_", "RAY_", "VIRTUAL_ENV"))
}
GROUP = {"prompt": "Name three fruits.", "responses": ["plum, fig, pear, apple, grape and a kiwi", "cats"]}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: building in the checkout would leave files there."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "dist"), str(folder))
    [built] = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of the environment."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    bin_folder = folder / "bin"
    link_requirements(bin_folder / "python")
    pip("--python", str(bin_folder / "python"), "install", "--no-index", str(wheel))  # refuses what is not there
    return bin_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "groups.jsonl").write_text(json.dumps(GROUP) + "\n")
    return tmp_path


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def link_requirements(python: Path) -> None:
    """Put the packages that grm_plugin requires, and those that they do, into another environment."""
    asked = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    there = Path(asked.stdout.strip())
    here = {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}
    for name in sorted(required_by("grm-plugin")):
        for top in sorted({file.parts[0] for file in metadata.distribution(name).files or ()} - {"..", "__pycache__"}):
            source = next((each / top for each in here if (each / top).exists()), None)
            if source and not (there / top).exists():
                (there / top).symlink_to(source)


def required_by(name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for line in metadata.distribution(waiting.pop()).requires or ():
            wanted = Requirement(line)
            if (not wanted.marker or wanted.marker.evaluate({"extra": ""})) and wanted.name not in found:
                found.add(wanted.name)
                waiting.append(wanted.name)
    return found


def run(environment: Path, folder: Path, *command: str, status: int = 0) -> str:
    program, *arguments = command
    done = subprocess.run(
        [str(environment / program), *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_it_holds_what_the_package_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "grm_plugin").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and not {"integrations", "presets"} & {*path.parts}
    ]
    assert "grm_plugin/judging/templates/listwise.txt" in data
    assert [name for name in data if name not in names] == []
    presets = {name for name in shipped_configs() if f"grm_plugin/presets/{name}.yaml" in names}
    assert presets == {*shipped_configs()} - {*IN_CHECKOUT}
    assert not [name for name in names if name.startswith(("configs/", "integrations/", "tests/", "examples/"))]


def test_nothing_else_is_there(environment: Path, folder: Path) -> None:
    where = run(environment, folder, "python", "-c", "import grm_plugin; print(grm_plugin.__file__)")
    assert where.startswith(str(environment.parent))
    absent = ("torch", "vllm", "ray", "transformers", "numpy", "examples")
    code = f"from importlib.util import find_spec; print([name for name in {absent} if find_spec(name)])"
    assert run(environment, folder, "python", "-c", code) == "[]\n"


def test_path_config_and_doctor(environment: Path, folder: Path) -> None:
    hook = Path(run(environment, folder, "grm-plugin", "path", "openrlhf-agent").strip())
    assert hook.is_file()
    assert hook.is_relative_to(environment.parent)
    assert "type: fake" in run(environment, folder, "grm-plugin", "config", "preset:dry_run")
    found = run(environment, folder, "grm-plugin", "doctor", "--config", "preset:dry_run")
    assert " 0 errors" in found
    assert "configs/" not in found
    assert run(environment, folder, "python", "-m", "grm_plugin", "--version").strip()


def test_score(environment: Path, folder: Path) -> None:
    run(environment, folder, "grm-plugin", "score", "groups.jsonl", "-c", "preset:dry_run", "--output", "out.jsonl")
    [row] = read_rows(folder / "out.jsonl")
    assert [reward["mean"] for reward in row["rewards"]] == [2, 1]


@pytest.fixture
def service(environment: Path, folder: Path) -> Iterator[str]:
    port = free_port()
    settings = ("--grm.service.port", str(port), "--grm.service.name", f"wheel-{port}", "--grm.trace.path", "traces.db")
    process = subprocess.Popen(
        [str(environment / "grm-plugin"), "serve", "--config", "preset:dry_run", *settings],
        cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        assert process.stdout
        assert f"GRM service at {url} " in process.stdout.readline()
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def get(url: str, body: object = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return str(reply.read().decode())


def test_serve_with_its_pages(service: str, folder: Path) -> None:
    reply = json.loads(get(f"{service}/v1/score", {"groups": [GROUP]}))
    assert [reward["mean"] for reward in reply["judgements"][0]["rewards"]] == [2, 1]
    assert "/v1/score" in get(f"{service}/docs")
    assert "Name three fruits." in get(f"{service}/traces/1")
    assert "font" in get(f"{service}/static/page.css")
    assert (folder / "traces.db").is_file()


def test_python(environment: Path, folder: Path) -> None:
    code = (
        "from grm_plugin import Judge, GRMError\n"
        "judge = Judge.from_config('preset:dry_run')\n"
        f"print(judge.judge_sync({GROUP['prompt']!r}, {GROUP['responses']!r}).best.text)\n"
        "try: Judge.from_config('preset:deepseek_grm_16b')\n"
        "except GRMError as error: print(error)"
    )
    best, absent = run(environment, folder, "python", "-c", code).splitlines()
    assert best == GROUP["responses"][0]
    assert absent.endswith('which are not installed: pip install "grm-plugin[vllm]" transformers')


def test_what_it_does_not_hold_is_named(environment: Path, folder: Path) -> None:
    said = run(environment, folder, "grm-plugin", "config", "preset:nano_cpu", status=2)
    assert "runs the models of examples/nano" in said
    assert "no preset:dry; did you mean preset:dry_run?" in run(
        environment, folder, "grm-plugin", "config", "preset:dry", status=2
    )
    for help_of in ("--help", "serve --help", "doctor --help", "score --help", "config --help"):
        assert "configs/" not in run(environment, folder, "grm-plugin", *help_of.split())
