"""The launcher's command line and the hooks' environment; jobs themselves run in tests/e2e/test_openrlhf_hooks.py."""

import importlib.metadata
import json
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from grm_plugin.config import Config
from grm_plugin.errors import ConfigError, ServiceError
from grm_plugin.integrations.environment_variables import read_environment
from grm_plugin.integrations.openrlhf import train_ppo_ray
from grm_plugin.integrations.openrlhf.gpu_plan import roles_of, roles_of_grm
from grm_plugin.integrations.openrlhf.judging_plan import judging_plan
from grm_plugin.integrations.openrlhf.launcher_flags import parse
from grm_plugin.integrations.openrlhf.train_ppo_ray import beside_submitted, main, workers_environment
from grm_plugin.serving.ray.launch import ServiceHandle
from grm_plugin.wire.token import Token
from support.paths import ROOT

FAKE = json.dumps({"engine": {"type": "fake"}})
SERVICE = ServiceHandle("grm", "http://127.0.0.1:8790")


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "grm.yaml"
    path.write_text("engine: {type: fake}\nsampling: {k: 2}\ngroup: {n: 3}\n")
    return str(path)


class TestCommandLine:
    def test_ours_and_openrlhfs_flags_are_told_apart(self, config: str) -> None:
        theirs = ["--actor.adam.lr", "1e-6", "--rollout.n_samples_per_prompt", "8"]
        job = parse(["--grm.config", config, *theirs[:2], "--grm.sampling.k=16", *theirs[2:]])
        assert job.arguments == tuple(theirs)
        assert job.config.sampling.k == 16
        assert job.n == job.config.group.n == 8
        assert job.hook == "agent"
        assert not job.notes

    @pytest.mark.parametrize(
        ("flags", "n"),
        [
            ([], 1),
            (["--rollout.n_samples_per_prompt=4"], 4),
            (["--rollout.n_samples_per_prompt", "4", "--rollout.n_samples_per_prompt", "2"], 2),
        ],
    )
    def test_n_is_what_openrlhf_will_take(self, config: str, flags: list[str], n: int) -> None:
        assert parse(["--grm.config", config, *flags]).config.group.n == n

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            (["--reward.remote_url", "http://other"], "--reward.remote_url is the launcher's to set"),
            (
                ["--reward.remote_url", "http://a/get_reward,http://b/get_reward"],
                r"one address: .* --grm\.engine\.replicas",
            ),
            (["--train.agent_func_path=mine.py"], "--train.agent_func_path is the launcher's to set"),
            (["--grm.group.n", "8"], r"group\.n is --rollout\.n_samples_per_prompt here \(1\): drop --grm\.group\.n"),
            (["--grm.hook", "htpp"], "--grm.hook htpp is unknown: take one of agent, function, http"),
            (["--grm.cpu", "yes"], "--grm.cpu yes is unknown"),
            (["--grm.sampling.kk", "3"], r"sampling\.kk; did you mean sampling\.k\?"),
            (["--rollout.n_samples_per_prompt", "many"], "--rollout.n_samples_per_prompt many"),
            (["--rollout.n_samples_per_prompt"], "take an integer"),
            (["--grm.sampling.k"], "needs a value"),
        ],
    )
    def test_mistakes_are_named(self, config: str, flags: list[str], words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            parse(["--grm.config", config, *flags])

    @pytest.mark.parametrize(
        ("hook", "eval_n", "warned"),
        [("http", "6", True), ("function", "2", True), ("http", "8", False), ("agent", "6", False)],
    )
    def test_another_n_in_evaluation_is_told_where_it_costs_time(
        self, config: str, hook: str, eval_n: str, warned: bool
    ) -> None:
        flags = ["--grm.hook", hook, "--rollout.n_samples_per_prompt", "4", "--eval.n_samples_per_prompt", eval_n]
        assert bool(parse(["--grm.config", config, *flags, "--eval.dataset", "held_out"]).notes) is warned
        assert not parse(["--grm.config", config, *flags]).notes

    @pytest.mark.parametrize("method", ["group", "rank"])
    def test_one_sample_per_prompt_is_refused_where_samples_are_compared(self, config: str, method: str) -> None:
        argv = ["--grm.config", config, "--grm.normalize.method", method]
        with pytest.raises(
            ConfigError, match=rf"{method} compares .*: set --rollout\.n_samples_per_prompt to 2 or more"
        ):
            parse(argv)
        parse([*argv, "--rollout.n_samples_per_prompt", "2"])
        parse(["--grm.config", config])

    @pytest.mark.parametrize(
        ("flags", "temperature", "noted"),
        [
            ([], None, False),
            (["--eval.dataset", "d"], 0.6, False),
            (["--eval.dataset", "d", "--eval.temperature=0"], 0.0, False),
            (["--eval.dataset", "d", "--rollout.temperature", "0.6"], None, True),
            (["--eval.dataset", "d", "--eval.temperature", "1"], None, True),
            (["--eval.dataset", "d", "--eval.temperature", "warm"], None, True),
            (["--eval.dataset", "d", "--grm.hook", "http"], 0.6, True),
            (["--eval.dataset", "d", "--grm.hook", "function"], 0.6, True),
        ],
    )
    def test_evaluation_is_told_by_its_temperature(
        self, config: str, flags: list[str], temperature: float | None, noted: bool
    ) -> None:
        """From which normalize.method running does not learn; where it cannot be told the launcher says so."""
        argv = ["--grm.config", config, "--rollout.n_samples_per_prompt", "4", *flags]
        job = parse([*argv, "--grm.normalize.method", "running"])
        assert job.eval_temperature == temperature
        assert any("normalize.method running learns from evaluation too" in note for note in job.notes) is noted
        told = workers_environment(job)["GRM_EVAL_TEMPERATURE"]
        assert read_environment({"GRM_URL": "http://a", "GRM_EVAL_TEMPERATURE": told}).eval_temperature == temperature
        assert not any("learns from" in note for note in parse(argv).notes), "no other method learns"

    @pytest.mark.parametrize(
        ("flags", "samples"),
        [
            ([], 8192),
            (["--rollout.batch_size", "64"], 512),
            (["--rollout.batch_size", "64", "--rollout.vllm_generate_batch_size", "128"], 1024),
            (["--rollout.batch_size", "64", "--eval.dataset", "d", "--eval.n_samples_per_prompt", "32"], 2048),
        ],
    )
    def test_the_http_hook_needs_room_for_a_whole_batch(self, config: str, flags: list[str], samples: int) -> None:
        """OpenRLHF's HTTP call gives up what is refused five times; our hooks ask again."""
        argv = ["--grm.config", config, "--rollout.n_samples_per_prompt", "8", *flags]
        too_few = [*argv, "--grm.service.max_waiting", str(samples - 1)]
        with pytest.raises(ConfigError, match=rf"add --grm\.service\.max_waiting {samples}, or take --grm\.hook agent"):
            parse([*too_few, "--grm.hook", "http"])
        parse([*argv, "--grm.service.max_waiting", str(samples), "--grm.hook", "http"])
        parse(too_few)

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            ([], "2,048 critiques (1,024 prompts x 1 list(s) of their 1 responses x k = 2); 4,194,304 tokens"),
            (
                ["--rollout.batch_size", "64", "--rollout.n_samples_per_prompt", "9", "--grm.sampling.k", "32"],
                "6,144 critiques (64 prompts x 3 list(s) of their 9 responses x k = 32); 12,582,912 tokens",
            ),
            (
                ["--rollout.batch_size=8", "--rollout.n_samples_per_prompt=4", "--grm.sampling.max_tokens=10"],
                "16 critiques (8 prompts x 1 list(s) of their 4 responses x k = 2); 160 tokens",
            ),
        ],
    )
    def test_the_work_of_a_step_is_told(self, config: str, flags: list[str], words: str) -> None:
        job = parse(["--grm.config", config, *flags])
        assert words in judging_plan(job.config, job.prompts, job.hook)

    def test_openrlhfs_default_batch_fits(self, config: str) -> None:
        parse(["--grm.config", config, "--grm.hook", "http", "--rollout.n_samples_per_prompt", "32"])

    def test_a_mistake_is_one_line_and_status_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--actor.adam.lr", "1"]) == 2
        assert (
            capsys.readouterr().err
            == "grm_plugin: --grm.config is missing: --grm.config CONFIG.yaml, or a preset such as preset:dry_run\n"
        )

    def test_a_missing_openrlhf_is_told_before_anything_starts(
        self, config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def no_package(name: str) -> str:
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "version", no_package)
        assert main(["--grm.config", config]) == 2
        assert "OpenRLHF is not installed: pip install" in capsys.readouterr().err

    def test_an_old_openrlhf_is_told_before_anything_starts(
        self, config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.10.1.post2")
        assert main(["--grm.config", config]) == 2
        assert "OpenRLHF 0.10.1.post2 has other flags: install 0.11.2 or newer" in capsys.readouterr().err

    def test_a_missing_model_is_told_before_anything_starts(
        self, config: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["--grm.config", config, "--grm.engine", "{type: vllm, model: ./nowhere}"]) == 2
        assert "engine.model: './nowhere' does not exist" in capsys.readouterr().err

    @pytest.mark.parametrize("argv", [[], ["--help"]])
    def test_help(self, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(argv) == 0
        assert "--grm.hook agent|function|http" in capsys.readouterr().out


class TestStart:
    """The service starts beside the imports of OpenRLHF."""

    def test_a_broken_openrlhf_is_told_while_the_model_loads(
        self, config: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = threading.Event()
        monkeypatch.setattr(train_ppo_ray, "start", lambda _: loaded.wait(60))
        monkeypatch.setattr(train_ppo_ray, "IMPORTED_EARLY", "openrlhf_is_broken")
        try:
            with pytest.raises(
                ConfigError, match=r"OpenRLHF cannot be imported .*No module named 'openrlhf_is_broken'"
            ):
                train_ppo_ray._start_beside_imports(parse(["--grm.config", config]))
            assert not loaded.is_set()
        finally:
            loaded.set()

    def test_a_service_that_does_not_start_is_told(self, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_gpu(_: Config) -> None:
            raise ServiceError("no GPU is free")

        monkeypatch.setattr(train_ppo_ray, "start", no_gpu)
        monkeypatch.setattr(train_ppo_ray, "IMPORTED_EARLY", "json")
        with pytest.raises(ServiceError, match="no GPU is free"):
            train_ppo_ray._start_beside_imports(parse(["--grm.config", config]))


class TestLifetime:
    """What becomes of the service is `service.lifetime`'s to say."""

    @pytest.mark.parametrize(
        ("lifetime", "taken"),
        [
            ("job", ["start", "supervised", "openrlhf", "no longer supervised", "stop grm"]),
            ("shared", ["start_or_attach", "openrlhf"]),
        ],
    )
    @pytest.mark.parametrize("status", [0, 3])
    def test_who_starts_watches_and_stops_it(
        self, config: str, lifetime: str, taken: list[str], status: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ray = pytest.importorskip("ray")
        steps: list[str] = []

        def begin(name: str) -> Callable[[Config], ServiceHandle]:
            def starts(_: Config) -> ServiceHandle:
                steps.append(name)
                return SERVICE

            return starts

        @contextmanager
        def supervisor(_: Config, url: str) -> Iterator[None]:
            assert url == SERVICE.url
            steps.append("supervised")
            yield
            steps.append("no longer supervised")

        def openrlhf(*_: object, **__: object) -> None:
            steps.append("openrlhf")
            if status:
                raise SystemExit(status)

        monkeypatch.delenv("GRM_CPU", raising=False)
        monkeypatch.setattr(ray, "init", lambda **_: None)
        monkeypatch.setattr(train_ppo_ray, "from_head_node_only", lambda service: "")
        monkeypatch.setattr(train_ppo_ray, "start", begin("start"))
        monkeypatch.setattr(train_ppo_ray, "start_or_attach", begin("start_or_attach"))
        monkeypatch.setattr(train_ppo_ray, "stop_on_ray", lambda name: steps.append(f"stop {name}"))
        monkeypatch.setattr(train_ppo_ray, "Supervisor", supervisor)
        monkeypatch.setattr(train_ppo_ray, "IMPORTED_EARLY", "json")
        monkeypatch.setattr("runpy.run_module", openrlhf)
        monkeypatch.setattr("sys.argv", ["train_ppo_ray"])
        job = parse(["--grm.config", config, "--grm.service.lifetime", lifetime])
        with pytest.raises(SystemExit) if status else nullcontext():
            train_ppo_ray.run(job)
        assert steps == [step for step in taken if not (status and step == "no longer supervised")]


class TestToken:
    def test_it_does_not_get_into_openrlhfs_arguments(self) -> None:
        guarded = ServiceHandle("grm", SERVICE.url, token=Token("s3cret"))
        with pytest.raises(ConfigError, match=r"--grm\.hook http cannot carry .* Take --grm\.hook agent or function"):
            train_ppo_ray._reward_flag("http", guarded, 4)
        for hook in ("agent", "function"):
            assert "s3cret" not in " ".join(train_ppo_ray._reward_flag(hook, guarded, 4))

    def test_without_one_the_http_hook_has_the_address(self) -> None:
        flag = train_ppo_ray._reward_flag("http", SERVICE, 4)
        assert flag == ("--reward.remote_url", f"{SERVICE.url}/get_reward?n=4")


@pytest.mark.parametrize("script", sorted((ROOT / "examples/openrlhf").glob("*.sh")), ids=lambda path: path.stem)
class TestExamples:
    def test_openrlhf_takes_their_flags_and_they_use_eight_gpus(
        self, script: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("openrlhf")
        monkeypatch.chdir(ROOT)
        monkeypatch.delenv("GRM_CPU", raising=False)
        job = parse(arguments_of(script))
        flags = train_ppo_ray._checked_flags(job)
        assert flags is not None
        assert sum(role.gpus for role in (*roles_of(flags), *roles_of_grm(job.config, 8))) == 8
        assert job.n > 1


def arguments_of(script: Path) -> list[str]:
    """The launcher's arguments in a script, its variables left as they are."""
    text = script.read_text().replace("\\\n", " ")
    words = shlex.split(text.split("train_ppo_ray", 1)[1], comments=True)
    return [word for word in words if word != "$@"]


class TestEnvironment:
    def test_a_file_with_overrides(self, config: str) -> None:
        settings = read_environment({"GRM_CONFIG": config, "GRM_OVERRIDES": '{"sampling.k": 16, "group.wait_s": "7"}'})
        assert settings.url is None
        assert settings.config is not None
        assert settings.config.sampling.k == 16
        assert settings.config.group.wait_s == 7
        assert settings.n == 3

    def test_the_launchers_job_arrives_unchanged(self, config: str) -> None:
        job = parse(["--grm.config", config, "--grm.failure.constant", "-1.5", "--rollout.n_samples_per_prompt=4"])
        left_in_the_shell = {"GRM_URL": "http://another:1", "GRM_OVERRIDES": '{"sampling.k": 99}', "GRM_N": "7"}
        received = read_environment(left_in_the_shell | workers_environment(job))
        assert isinstance(received.config, Config)
        assert (received.url, received.config, received.n) == (None, job.config, 4)

    def test_variables_of_a_submitted_job_stay_and_ray_takes_the_rest(
        self, config: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        merge = pytest.importorskip("ray.runtime_env.runtime_env")._merge_runtime_env
        ours = workers_environment(parse(["--grm.config", config]))
        of_job = {"env_vars": {"NCCL_DEBUG": "INFO", "GRM_URL": "", "MINE": "1"}, "working_dir": "gcs://a.zip"}
        submitted = json.dumps({"runtime_env": of_job, "metadata": {}})
        assert merge(of_job, {"env_vars": ours}) is None  # which is how Ray says no
        merged = merge(of_job, {"env_vars": beside_submitted(ours, submitted)})
        assert merged == of_job | {"env_vars": ours | of_job["env_vars"]}
        monkeypatch.setenv("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
        assert beside_submitted(ours, submitted) == ours

    @pytest.mark.parametrize("submitted", [None, "{}", '{"runtime_env": null}', '{"runtime_env": {"env_vars": null}}'])
    def test_a_job_without_variables_gets_all(self, submitted: str | None) -> None:
        assert beside_submitted({"GRM_URL": ""}, submitted) == {"GRM_URL": ""}

    def test_a_submitted_variable_that_the_launcher_must_set_is_one_line(
        self, config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        job = {"runtime_env": {"env_vars": {"GRM_CONFIG": "/mine.yaml"}}}
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
        monkeypatch.setattr(train_ppo_ray, "_require_openrlhf", lambda: None)
        assert main(["--grm.config", config]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("grm_plugin: GRM_CONFIG is among the env_vars of ray job submit")

    def test_an_address_alone(self) -> None:
        settings = read_environment({"GRM_URL": "http://host:1", "GRM_CONFIG": ""})
        assert (settings.url, settings.config, settings.n) == ("http://host:1", None, None)

    @pytest.mark.parametrize(
        ("variables", "words"),
        [
            ({}, "set GRM_CONFIG .* or GRM_URL"),
            ({"GRM_CONFIG": "no.yaml"}, f"GRM_CONFIG=no.yaml is looked for in {Path.cwd()}: give an absolute path"),
            ({"GRM_CONFIG": "/nowhere.yaml"}, "no config file at /nowhere.yaml"),
            ({"GRM_CONFIG": "{"}, "GRM_CONFIG is no JSON"),
            ({"GRM_CONFIG": FAKE, "GRM_OVERRIDES": "k=3"}, "GRM_OVERRIDES is no JSON"),
            ({"GRM_CONFIG": FAKE, "GRM_OVERRIDES": "[1]"}, "must be a JSON object"),
            ({"GRM_URL": "http://host:1", "GRM_OVERRIDES": '{"sampling.k": 16}'}, "but GRM_CONFIG is not set"),
            ({"GRM_URL": "http://host:1", "GRM_N": "0"}, "GRM_N is '0'"),
        ],
    )
    def test_mistakes_are_named(self, variables: dict[str, str], words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            read_environment(variables)
