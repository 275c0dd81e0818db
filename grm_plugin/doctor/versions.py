"""Checks the versions of Python and of packages: do they work, and are they those that the tests run with?"""

from __future__ import annotations

import platform

from packaging.specifiers import SpecifierSet

from grm_plugin._util.known_versions import PACKAGES, PYTHON, Package, installed
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.doctor.findings import Finding, error, ok, warning


def check_versions(config: Config) -> list[Finding]:
    """A finding for Python and for each package; a missing package is an error only if this configuration needs it."""
    runs_vllm = any(isinstance(model, VLLMConfig) for model in (config.engine, config.meta_rm))
    findings = [version_finding(PYTHON, "python", platform.python_version())]
    for package in PACKAGES:
        name, version = installed(package)
        if version is not None:
            findings.append(version_finding(package, name, version))
        elif package.needed_for_vllm and runs_vllm:
            findings.append(error(name, "not installed", 'pip install -e ".[vllm]"'))
        else:
            findings.append(ok(name, "not installed, and not needed by this configuration itself"))
    return findings


def version_finding(package: Package, name: str, version: str) -> Finding:
    """Whether an installed version works, and is tested."""
    if not SpecifierSet(package.works).contains(version, prereleases=True):
        return error(name, f"{version} does not work", f"install {name}{package.works} (tested: {package.tested})")
    if not SpecifierSet(package.tested).contains(version, prereleases=True):
        return warning(name, f"{version} is not among the tested versions ({package.tested})")
    return ok(name, version)
