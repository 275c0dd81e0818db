import re
import subprocess
import sys

import pytest

import grm_plugin
from support.paths import ROOT

INTEGRATIONS = ROOT / "integrations"
HEAVY = ("torch", "vllm", "ray", "transformers", "fastapi", "uvicorn", "openai")


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
    out = run(
        "import sys; from grm_plugin import Config, GRMError, Group, Judge, Message, Reward, Sample, load_config\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert out.strip() == "[]"


def test_public_names_are_pinned() -> None:
    assert grm_plugin.__all__ == [
        "Client",
        "Config",
        "GRMError",
        "Group",
        "Judge",
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
