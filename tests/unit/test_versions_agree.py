"""What is tested, installed and told of versions agrees. `COMBINATIONS` is what everything else is held against."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from grm_plugin._util.known_versions import COMBINATIONS, OLDEST_OPENRLHF, PACKAGES, Combination
from support.paths import ROOT

CONFIGS = ROOT / "configs"
CONSTRAINTS = CONFIGS / "constraints"
MAKEFILE = (ROOT / "Makefile").read_text()
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

each_combination = pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda combination: combination.name)


def pins(file: Path) -> dict[str, str]:
    """The version of each package of a file of pins; vLLM's CPU build as "vllm"."""
    found = {}
    for line in file.read_text().splitlines():
        pin = line.partition("#")[0].partition(";")[0].strip()
        if pin:
            name, _, version = pin.partition("==")
            found[name.strip().lower().replace("_", "-").removesuffix("-cpu")] = version.strip()
    return found


def constraints(combination: Combination) -> Path:
    return CONSTRAINTS / f"{combination.name}.txt"


@each_combination
def test_the_tests_run_with_its_versions(combination: Combination) -> None:
    of_environment: dict[str, str] = {}
    for name in combination.cpu_files:
        of_environment |= pins(CONFIGS / name)
    assert {name: of_environment[name] for name in combination.versions} == combination.versions


@each_combination
def test_make_installs_and_tests_it(combination: Combination) -> None:
    base, *overrides = combination.cpu_files
    assert f"REQUIREMENTS := configs/{base}" in MAKEFILE
    for name in overrides:
        assert f"OVERRIDES=configs/{name}" in MAKEFILE.partition("\ntest-matrix:")[2].partition("\n\n")[0]


@each_combination
def test_its_constraints_have_its_versions(combination: Combination) -> None:
    assert f"#     {combination.install}\n" in constraints(combination).read_text()
    for_gpus = {name: Version(version).public for name, version in pins(constraints(combination)).items()}
    asked = [
        name
        for name in combination.versions
        if combination.extra == "openrlhf" or name not in ("openrlhf", "deepspeed")
    ]
    assert {name: for_gpus.get(name) for name in asked} == {name: combination.versions[name] for name in asked}


@each_combination
def test_its_constraints_fit_what_pip_is_asked_for(combination: Combination) -> None:
    for_gpus = pins(constraints(combination))
    for line in [*EXTRAS[combination.extra], *EXTRAS["vllm"]]:
        asked = Requirement(line)
        assert asked.specifier.contains(for_gpus[asked.name]), line


def test_every_file_of_constraints_and_overrides_belongs_to_a_combination() -> None:
    assert {file.name for file in CONSTRAINTS.iterdir()} == {f"{each.name}.txt" for each in COMBINATIONS}
    used = {name for each in COMBINATIONS for name in each.cpu_files}
    assert {file.name for file in CONFIGS.glob("overrides-*")} == {
        name for name in used if name.startswith("overrides-")
    }


@pytest.mark.parametrize("package", ["vllm", "ray", "openrlhf"])
def test_extras_go_from_the_oldest_to_the_newest_that_was_tested(package: str) -> None:
    tested = sorted(Version(each.versions[package]) for each in COMBINATIONS)
    oldest, newest = tested[0], tested[-1]
    lowest = str(oldest) if oldest.micro else f"{oldest.major}.{oldest.minor}"
    bounds = [
        asked.specifier for extra in EXTRAS.values() for asked in map(Requirement, extra) if asked.name == package
    ]
    assert bounds
    assert set(bounds) == {SpecifierSet(f">={lowest},<{newest.major}.{newest.minor + 1}")}


@each_combination
def test_what_was_tested_can_work(combination: Combination) -> None:
    for package in PACKAGES:
        if package.names[0] in combination.versions:
            assert SpecifierSet(package.works).contains(combination.versions[package.names[0]])
    assert Version(combination.versions["openrlhf"]) >= Version(OLDEST_OPENRLHF)


@each_combination
def test_the_page_of_versions_names_it(combination: Combination) -> None:
    (row,) = [
        line for line in (ROOT / "docs/versions.md").read_text().splitlines() if f"`{combination.name}.txt`" in line
    ]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    for package in ("vllm", "ray", "transformers", "torch"):
        assert combination.versions[package] in cells


@pytest.mark.parametrize("combination", COMBINATIONS[:2], ids=lambda combination: combination.name)
def test_the_page_of_versions_has_the_command(combination: Combination) -> None:
    assert combination.install in (ROOT / "docs/versions.md").read_text()


def test_the_first_combination_is_what_openrlhf_itself_asks_for() -> None:
    try:
        asked = [Requirement(line) for line in metadata.requires("openrlhf") or ()]
    except metadata.PackageNotFoundError:
        pytest.skip("OpenRLHF is not installed")
    exact = {
        each.name: str(each.specifier).removeprefix("==")
        for each in asked
        if str(each.specifier).startswith("==") and each.name in COMBINATIONS[0].versions
    }
    assert exact == {name: COMBINATIONS[0].versions[name] for name in ("vllm", "ray", "transformers", "deepspeed")}


def test_overrides_are_spelled_as_what_they_override() -> None:
    """Or make, which compares names as they are written, would have two pins of one package."""

    def names(file: Path) -> set[str]:
        return set(re.findall(r"^([\w.-]+)==", file.read_text(), re.M))

    base = names(CONFIGS / "requirements-cpu.txt")
    plain = {name.lower().replace("_", "-") for name in base}
    for file in CONFIGS.glob("overrides-*"):
        for name in names(file):
            assert name in base or name.lower().replace("_", "-") not in plain, f"{file.name}: {name}"
