"""The house: which rooms there are, what each may import, and what importing the package costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import grm_plugin
from support.paths import ROOT

PACKAGE = ROOT / "grm_plugin"
INTEGRATIONS = ROOT / "integrations"
HEAVY = ("torch", "vllm", "ray", "transformers", "fastapi", "uvicorn", "aiohttp", "httpx", "pydantic", "jinja2")

COMMANDS = ("score", "evals", "spct", "attacks", "doctor", "plan", "votes", "best_of")

FLOORS = (
    ("__main__",),
    ("cli",),
    COMMANDS,
    ("api",),
    ("batch",),
    ("serving/ray",),
    ("serving/http",),
    ("serving",),
    ("trace",),
    ("client", "engines"),
    ("wire",),
    ("conversation", "judging"),
    ("rules",),
    ("config", "cpu"),
    ("_util",),
    ("types",),
    ("errors",),
)
"""The rooms of grm_plugin, from the top down. A room may import those on lower floors only."""

CLIENT_MAY_IMPORT = ("wire", "conversation", "judging.fallback", "config", "_util", "types", "errors")
"""A framework's worker imports the client: it must not bring the service along."""


class Arrow(NamedTuple):
    """One import: of `module`, which lies in the room `to`, by `file`, which lies in the room `start`."""

    file: str
    start: str
    module: str
    to: str


def room_of(module: str) -> str:
    """The room of a module's dotted name; the package's own name is no room."""
    parts = module.split(".")[1:]
    if not parts:
        return ""
    nested = parts[0] == "serving" and len(parts) > 1 and parts[1] in ("http", "ray")
    return "/".join(parts[: 1 + nested])


def arrows(folder: Path) -> Iterator[Arrow]:
    """Every import of the package's own modules, wherever in a file it stands."""
    for file in sorted(folder.rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        if name.startswith("grm_plugin/integrations/"):  # the link to integrations/
            continue
        start = room_of(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules: list[str] = []
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.level, f"{name}: relative imports break where a framework loads a file by its path"
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            yield from (
                Arrow(name, start, module, room_of(module)) for module in modules if module.startswith("grm_plugin.")
            )


def floor_of(room: str) -> int:
    """0 is the top floor."""
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_every_folder_and_file_of_the_package_is_a_room_of_the_plan() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))} - {"integrations"}
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert folders | files == {room for floor in FLOORS for room in floor} - {"serving/http", "serving/ray"}
    assert len(list(PACKAGE.glob("*.py"))) <= 6


def test_every_package_is_installed() -> None:
    """The list in pyproject.toml is by hand, since integrations/ and configs/ are installed inside of grm_plugin."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    own = [path.parent.relative_to(ROOT) for path in PACKAGE.rglob("__init__.py") if "integrations" not in path.parts]
    hooks = [Path("grm_plugin", path.parent.relative_to(ROOT)) for path in INTEGRATIONS.rglob("__init__.py")]
    found = [path.as_posix().replace("/", ".") for path in [*own, *hooks]]
    assert sorted(listed) == sorted([*found, "grm_plugin.presets"])


def test_arrows_go_down_only() -> None:
    """And so there is no circle of rooms."""
    up = [
        f"{arrow.file} imports {arrow.module}"
        for arrow in arrows(PACKAGE)
        if arrow.start and arrow.to and arrow.to not in ("__version__", "integrations")
        if arrow.start != arrow.to and floor_of(arrow.start) >= floor_of(arrow.to)
    ]
    assert not up, "\n".join(up)


def test_only_the_command_line_and_the_public_names_know_the_integrations() -> None:
    assert {arrow.start for arrow in arrows(PACKAGE) if arrow.to == "integrations"} <= {"cli", ""}


def test_the_client_brings_no_service_along() -> None:
    allowed = tuple(f"grm_plugin.{name}" for name in (*CLIENT_MAY_IMPORT, "client"))
    wrong = [f"{a.file} imports {a.module}" for a in arrows(PACKAGE) if a.start == "client"]
    assert not [line for line in wrong if not line.split(" imports ")[1].startswith(allowed)]
    loaded = run("import sys, grm_plugin.client; print([name for name in sys.modules if 'grm_plugin.serving' in name])")
    assert loaded.strip() == "[]"


def test_integrations_import_no_command() -> None:
    wrong = [f"{a.file} imports {a.module}" for a in arrows(INTEGRATIONS) if a.to in (*COMMANDS, "cli")]
    assert not wrong, "\n".join(wrong)


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_importing_the_package_is_light() -> None:
    out = run(
        "import sys, time; start = time.perf_counter(); import grm_plugin; took = time.perf_counter() - start\n"
        f"print(f'{{took:.3f}} s', [name for name in {HEAVY} if name in sys.modules])"
    )
    print("import grm_plugin:", out)
    assert out.split(" s ", 1)[1].strip() == "[]"


def test_the_core_loads_no_framework() -> None:
    frameworks = [name for name in HEAVY if name not in ("pydantic", "jinja2")]
    out = run(
        "import sys; from grm_plugin import Config, GRMError, Group, Judge, Message, Reward, Sample, load_config\n"
        f"print([name for name in {frameworks} if name in sys.modules])"
    )
    assert out.strip() == "[]"


def test_public_names_are_pinned() -> None:
    assert grm_plugin.__all__ == [
        "Client",
        "Config",
        "GRMError",
        "GRMReward",
        "Group",
        "Judge",
        "JudgedGroup",
        "Judgement",
        "Message",
        "Reward",
        "Sample",
        "__version__",
        "load_config",
    ]


@pytest.mark.parametrize("name", grm_plugin.__all__)
def test_every_public_name_resolves_to_its_home(name: str) -> None:
    value = getattr(grm_plugin, name)
    assert name == "__version__" or value.__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = grm_plugin.no_such_name


def test_no_framework_imports_another_ones_folder() -> None:
    frameworks = sorted(path.parent.name for path in INTEGRATIONS.glob("*/__init__.py"))
    assert "openrlhf" in frameworks
    for file in INTEGRATIONS.rglob("*.py"):
        imported = set(re.findall(r"^\s*from grm_plugin\.integrations\.(\w+)", file.read_text(), re.MULTILINE))
        others = imported & set(frameworks) - {file.parent.name}
        assert not others, f"{file} imports from {others}"
