"""The CPU profile without a job: import hooks, environment, the check for CUDA, patches that one process can show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from grm_plugin.cpu import environment, patches_cluster
from grm_plugin.cpu.device import cuda_present
from grm_plugin.cpu.import_hooks import PatchingFinder
from grm_plugin.cpu.profile import DEFAULTS, SITE

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(400)
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU profile is inert where CUDA is present")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path; the finders and modules that a test adds are gone after it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path.copy())
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


WITH_CUDA = "import grm_plugin.cpu.device as d; d.cuda_present = lambda torch: True\n"
"""Ahead of other code: an interpreter that would find a GPU."""


def python(code: str, **variables: str) -> str:
    """What a fresh interpreter prints."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("GRM_", "RAY_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=inherited | variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


IN_TURN = """
import contextlib, io, json, sys, traceback
told = {}
for name, code in json.loads(sys.argv[1]).items():
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(code, {"__name__": name})
        except BaseException:
            told[name] = {"error": traceback.format_exc()}
            continue
    told[name] = {"printed": printed.getvalue()}
print(json.dumps(told))
"""


class Told:
    """What pieces of code print, run in turn in one fresh interpreter under the profile: importing takes seconds."""

    def __init__(self, pieces: Mapping[str, str]) -> None:
        command = [sys.executable, "-c", IN_TURN, json.dumps(pieces)]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("GRM_", "RAY_"))}
        done = subprocess.run(command, env=inherited | environment(), capture_output=True, text=True, timeout=390)
        assert done.returncode == 0, done.stderr
        self._told = json.loads(done.stdout.splitlines()[-1])

    def by(self, name: str) -> str:
        """What the piece of this name printed. Fails with its traceback if it raised anything."""
        assert "error" not in self._told[name], self._told[name]["error"]
        return self._told[name]["printed"]


class TestHooks:
    def test_a_patch_runs_after_the_module(self, folder: Path) -> None:
        (folder / "hooked_leaf.py").write_text("value = 'its own'")
        seen = []

        def patch(module: ModuleType) -> None:
            seen.append(module.value)
            module.value = "patched"

        PatchingFinder({"hooked_leaf": patch}).install()
        import hooked_leaf

        assert seen == ["its own"]
        assert hooked_leaf.value == "patched"

    def test_a_from_import_inside_a_package_sees_the_patched_name(self, folder: Path) -> None:
        package = folder / "hooked_package"
        package.mkdir()
        (package / "__init__.py").write_text("from .inner import value")
        (package / "inner.py").write_text("value = 'its own'")
        PatchingFinder({"hooked_package.inner": lambda module: setattr(module, "value", "patched")}).install()
        import hooked_package

        assert hooked_package.value == "patched"

    def test_two_finders_patch_the_same_module(self, folder: Path) -> None:
        (folder / "hooked_twice.py").write_text("value = []")
        for name in ("first", "second"):
            PatchingFinder({"hooked_twice": lambda module, name=name: module.value.append(name)}).install()
        import hooked_twice

        assert hooked_twice.value == ["first", "second"]

    def test_a_module_that_is_already_imported_is_patched_at_once(self, folder: Path) -> None:
        (folder / "hooked_late.py").write_text("value = 'its own'")
        import hooked_late

        PatchingFinder({"hooked_late": lambda module: setattr(module, "value", "patched")}).install()
        assert hooked_late.value == "patched"

    def test_the_context_holds_during_the_import_and_ends_when_it_fails(self, folder: Path) -> None:
        (folder / "hooked_failure.py").write_text("import hooked_stub\nraise ValueError(hooked_stub.__name__)")

        @contextmanager
        def stub() -> Iterator[None]:
            sys.modules["hooked_stub"] = ModuleType("hooked_stub")
            try:
                yield
            finally:
                del sys.modules["hooked_stub"]

        PatchingFinder({}, {"hooked_failure": stub}).install()
        with pytest.raises(ValueError, match="hooked_stub"):
            import hooked_failure  # noqa: F401
        assert "hooked_stub" not in sys.modules

    def test_a_module_that_does_not_exist_is_still_missing(self, folder: Path) -> None:
        PatchingFinder({"hooked_nowhere": pytest.fail}).install()
        with pytest.raises(ModuleNotFoundError):
            import hooked_nowhere  # noqa: F401

    def test_a_hooked_module_keeps_its_source(self, folder: Path) -> None:
        (folder / "hooked_source.py").write_text("def f(): return 1\n")
        PatchingFinder({"hooked_source": lambda module: None}).install()
        import inspect

        import hooked_source

        assert inspect.getsource(hooked_source.f) == "def f(): return 1\n"


class TestEnvironment:
    def test_the_users_values_stay(self) -> None:
        added = environment({"VLLM_CPU_KVCACHE_SPACE": "7", "TORCH_COMPILE_DISABLE": ""})
        expected = DEFAULTS.keys() | {"PYTHONPATH", "GRM_CPU"}
        assert added.keys() == expected - {"VLLM_CPU_KVCACHE_SPACE", "TORCH_COMPILE_DISABLE"}

    def test_pythonpath_is_extended_once(self) -> None:
        once = environment({"PYTHONPATH": f"/mine{os.pathsep}/yours"})
        assert once["PYTHONPATH"].split(os.pathsep) == [str(SITE), "/mine", "/yours"]
        assert environment(once) == {"PYTHONPATH": once["PYTHONPATH"], "GRM_CPU": "1"}

    def test_the_command_line_runs_a_command_in_it(self) -> None:
        show = "from os import environ as e; print(e['GRM_CPU'], e['DS_ACCELERATOR'], e['RAY_USAGE_STATS_ENABLED'])"
        launcher = [sys.executable, "-m", "grm_plugin.cpu"]
        environ = {**os.environ, "RAY_USAGE_STATS_ENABLED": "mine"}
        ran = subprocess.run([*launcher, "--", sys.executable, "-c", show], env=environ, capture_output=True, text=True)
        assert ran.stdout.split() == ["1", "cpu", "mine"]
        listed = subprocess.run([*launcher, "--env"], env=environ, capture_output=True, text=True).stdout.splitlines()
        assert "GRM_CPU=1" in listed
        assert not any(line.startswith("RAY_USAGE_STATS_ENABLED") for line in listed)

    def test_the_command_line_asks_for_a_command(self) -> None:
        ran = subprocess.run([sys.executable, "-m", "grm_plugin.cpu"], capture_output=True, text=True)
        assert ran.returncode == 2
        assert "a command" in ran.stderr


def fake_torch(cuda: str | None, devices: int, visible: bool) -> SimpleNamespace:
    return SimpleNamespace(
        version=SimpleNamespace(cuda=cuda, hip=None),
        cuda=SimpleNamespace(_raw_device_count_nvml=lambda: devices, is_available=lambda: visible),
    )


@pytest.mark.parametrize(
    ("torch_like", "expected"),
    [
        pytest.param(fake_torch(None, 8, True), False, id="CPU build on a GPU machine"),
        pytest.param(fake_torch("13.0", 0, False), False, id="CUDA build, driver without GPU"),
        pytest.param(fake_torch("13.0", -1, False), False, id="CUDA build without driver"),
        pytest.param(fake_torch("13.0", 8, True), True, id="CUDA build with GPUs"),
        pytest.param(fake_torch("13.0", 8, False), True, id="GPUs hidden from this process by Ray"),
        pytest.param(fake_torch("13.0", -1, True), True, id="GPU without NVML"),
    ],
)
def test_cuda_present(torch_like: SimpleNamespace, expected: bool) -> None:
    assert cuda_present(torch_like) is expected


def test_the_real_torch_answers_cuda_present() -> None:
    assert cuda_present(torch) is torch.cuda.is_available()


class TestInterpreterStart:
    """Fresh interpreters with the profile's sitecustomize on their path."""

    current_device = "import torch\ntry: print(torch.cuda.current_device())\nexcept Exception: print('an error')"

    @without_cuda
    def test_the_switch_turns_the_patches_on(self) -> None:
        assert python(self.current_device, **environment()).split()[-1] == "cpu"

    @without_cuda
    def test_without_the_switch_nothing_changes(self) -> None:
        assert python(self.current_device, **environment() | {"GRM_CPU": "0"}).split()[-1] != "cpu"

    def test_with_cuda_nothing_changes(self) -> None:
        assert python(WITH_CUDA + self.current_device, **environment()).split()[-1] != "cpu"

    def test_it_loads_nothing_heavy(self) -> None:
        code = "import sys; print(sorted({'torch', 'ray', 'vllm', 'pydantic', 'numpy'} & set(sys.modules)))"
        assert python(code, **environment()).strip() == "[]"

    def test_importing_ray_does_not_import_torch(self) -> None:
        pytest.importorskip("ray")
        code = "import sys, ray; print('torch' in sys.modules, ray.init.__globals__['__name__'])"
        assert python(code, **environment()).split() == ["False", patches_cluster.__name__]

    def test_a_hidden_sitecustomize_still_runs(self, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text("print('the hidden one')")
        assert python("", **environment({"PYTHONPATH": str(tmp_path)})).strip() == "the hidden one"


class TestRayInit:
    @pytest.fixture
    def ray(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        """A module whose patched `init` returns what the real one would have been called with."""
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.delenv("GRM_CPU_FAKE_GPUS", raising=False)
        module = ModuleType("ray")
        module.init = lambda address=None, **kwargs: (address, kwargs)
        patches_cluster.start_private_cluster(module)
        return module

    @without_cuda
    def test_a_plain_call_gets_a_cluster_of_its_own(self, ray: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GRM_CPU_FAKE_GPUS", "3")
        address, kwargs = ray.init(runtime_env={"env_vars": {}})
        assert address == "local"
        assert kwargs == {"num_gpus": 3, "num_cpus": 5, "include_dashboard": False, "runtime_env": {"env_vars": {}}}

    @without_cuda
    def test_the_callers_arguments_win(self, ray: ModuleType) -> None:
        assert ray.init(num_gpus=2)[1]["num_gpus"] == 2

    def test_an_address_is_left_alone(self, ray: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        assert ray.init("192.0.2.1:6379") == ("192.0.2.1:6379", {})
        monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
        assert ray.init() == (None, {})


ON_CPU = {
    # First, because it looks at vLLM before anything of OpenRLHF is imported.
    "new weights": (
        "import vllm.model_executor.layers.utils as u; own = u.dispatch_cpu_unquantized_gemm\n"
        "assert own.__module__ == u.__name__\n"
        "import openrlhf.trainer.ray.vllm_worker_wrap, torch\n"
        "layer = torch.nn.Linear(64, 32, bias=False); u.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)\n"
        "layer.weight.data.zero_(); x = torch.ones(1, 64)\n"
        "print(u.cpu_unquantized_gemm(layer, x, layer.weight).abs().sum().item())"
    ),
    "flash attention": (
        "import sys; from openrlhf.models import ring_attn_utils as r\n"
        "print([m for m in sys.modules if m.startswith('flash_attn')])\n"
        "try: r.pad_input()\nexcept RuntimeError as e: print(e)"
    ),
    "replay buffer": (
        "from openrlhf.trainer.ppo_utils import NaiveReplayBuffer; print(NaiveReplayBuffer(1).target_device)"
    ),
    "deepspeed": (
        "import deepspeed, sys; comm = sys.modules['deepspeed.comm.torch']\n"
        "from openrlhf.utils.deepspeed.deepspeed_utils import get_train_ds_config\n"
        "config = get_train_ds_config(False, optim_config={'type': 'AdamW', 'params': {}})\n"
        "print(comm.build_shm_op(), config['optimizer']['params'])"
    ),
    "zero 3": (
        "from deepspeed.runtime.zero.partition_parameters import Init\n"
        "class Asked:\n"
        "    def _allgather_params_sequential(self, params, hierarchy): print(params, hierarchy)\n"
        "Init._allgather_params_coalesced(Asked(), ['a', 'b'], 1, quantize=False)"
    ),
}
"""What is done with the installed frameworks where there is no CUDA."""


class TestPatches:
    """Against the installed frameworks, in interpreters of their own."""

    @pytest.fixture(autouse=True)
    def _needs(self) -> None:
        pytest.importorskip("openrlhf")

    @pytest.fixture(scope="class")
    def on_cpu(self) -> Told:
        return Told(ON_CPU)

    @without_cuda
    def test_openrlhf_imports_without_flash_attention_and_leaves_no_stub(self, on_cpu: Told) -> None:
        printed = on_cpu.by("flash attention")
        assert "[]" in printed
        assert "drop --ds.packing_samples" in printed

    def test_with_cuda_there_is_no_stub_of_flash_attention(self) -> None:
        code = (
            "try: from openrlhf.models.ring_attn_utils import pad_input; print(pad_input.__module__)\n"
            "except ModuleNotFoundError as error: print(error.name)"
        )
        assert python(WITH_CUDA + code, **environment()).split()[-1].startswith("flash_attn")

    @without_cuda
    def test_the_replay_buffer_is_on_the_cpu(self, on_cpu: Told) -> None:
        assert on_cpu.by("replay buffer").split()[-1] == "cpu"

    @without_cuda
    def test_deepspeed_compiles_nothing(self, on_cpu: Told) -> None:
        assert on_cpu.by("deepspeed").strip().endswith("None {'torch_adam': True}")

    @without_cuda
    def test_zero_3_waits_for_each_parameter_that_it_gathers(self, on_cpu: Told) -> None:
        assert on_cpu.by("zero 3").strip().endswith("['a', 'b'] 1")

    @without_cuda
    def test_a_policys_engine_sees_new_weights_and_other_engines_keep_their_kernels(self, on_cpu: Told) -> None:
        assert on_cpu.by("new weights").split()[-1] == "0.0"
