"""OpenRLHF's flags and GPUs before its job: what it would refuse after minutes, or wait for without an end."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from grm_plugin.errors import ConfigError
from grm_plugin.integrations.openrlhf import gpu_plan, openrlhf_flags
from grm_plugin.integrations.openrlhf.gpu_plan import check_room, roles_of, roles_of_grm, table
from grm_plugin.integrations.openrlhf.openrlhf_flags import read_flags
from support.factories import make_config

pytest.importorskip("openrlhf")

BASE = ("--actor.model_name_or_path", "policy", "--train.agent_func_path", "agent.py")
GROUPS = ("--algo.advantage.estimator", "group_norm", "--rollout.n_samples_per_prompt", "4")
TOGETHER = ("--train.colocate_all", "--vllm.num_engines", "8")


def flags_of(*more: str) -> SimpleNamespace:
    found = read_flags([*BASE, *more])
    assert found is not None
    return found


class TestFlags:
    def test_they_are_openrlhfs_with_its_defaults(self) -> None:
        found = flags_of(*GROUPS, "--vllm.num_engines=2")
        assert (found.vllm.num_engines, found.vllm.tensor_parallel_size, found.rollout.batch_size) == (2, 1, 1024)
        assert found.critic.model_name_or_path is None  # as OpenRLHF decides after it has read them

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            (["--vllm.num_engine_count", "2"], "unrecognized arguments: --vllm.num_engine_count 2"),
            (["--vllm.num_engines", "two"], "argument --vllm.num_engines: invalid int value: 'two'"),
            (["--vllm.num_engines"], "argument --vllm.num_engines: expected one argument"),
            (["--actor.num_node", "1", "--actor.num", "3"], "ambiguous option: --actor.num could match"),
            (["--algo.advantage.estimator", "magic"], "invalid choice: 'magic'"),
            (["--algo.advantage.estimator", "rloo"], "rloo requires n_samples_per_prompt > 1"),
            ([*GROUPS, "--train.async_enable", *TOGETHER, "--vllm.enable_sleep"], "Async RLHF is not supported"),
            (["--rollout.batch_size", "1"], "The number of sample batches must be greater"),
        ],
    )
    def test_what_it_refuses_is_told_at_once(
        self, more: list[str], words: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        before = list(sys.argv)
        with pytest.raises(ConfigError) as refused:
            flags_of(*more)
        assert str(refused.value).startswith("OpenRLHF refuses the flags: ")
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
        assert sys.argv == before
        assert capfd.readouterr() == ("", "")

    def test_nothing_heavy_is_imported(self) -> None:
        before = set(sys.modules)
        flags_of()
        assert not {name.partition(".")[0] for name in set(sys.modules) - before} & {
            "torch",
            "ray",
            "vllm",
            "deepspeed",
        }

    def test_a_version_that_is_built_otherwise_is_left_to_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(openrlhf_flags, "PROGRAM", openrlhf_flags.HIERARCHIZE)
        assert read_flags(BASE) is None


class TestGpus:
    @pytest.mark.parametrize(
        ("more", "gpus"),
        [
            ((), {"actor": 8, "reference": 8, "critic": 8}),
            (TOGETHER, {"actor": 8, "reference": 0, "critic": 0, "rollout engines": 0}),
            ((*GROUPS, *TOGETHER), {"actor": 8, "reference": 0, "rollout engines": 0}),
            ((*GROUPS, *TOGETHER, "--train.async_enable"), {"actor": 8, "reference": 0, "rollout engines": 8}),
            ((*GROUPS, "--algo.kl.init_coef", "0"), {"actor": 8}),
            ((*GROUPS, "--actor.num_nodes", "2", "--ref.num_gpus_per_node", "1"), {"actor": 16, "reference": 1}),
            (
                ("--train.colocate_actor_ref", "--vllm.num_engines", "2", "--vllm.tensor_parallel_size", "4"),
                {"actor": 8, "reference": 0, "critic": 8, "rollout engines": 8},
            ),
        ],
    )
    def test_of_openrlhf(self, more: tuple[str, ...], gpus: dict[str, int]) -> None:
        assert {role.name: role.gpus for role in roles_of(flags_of(*more))} == gpus

    def test_a_job_on_all_gpus_leaves_none_to_the_grm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gpu_plan, "gpus_per_replica", lambda model, _: model.tensor_parallel_size)
        config = make_config(
            engine={"type": "vllm", "model": "a/b", "replicas": 2, "tensor_parallel_size": 2}, meta_rm={"model": "a/c"}
        )
        roles = [*roles_of(flags_of(*GROUPS, *TOGETHER)), *roles_of_grm(config, 8)]
        with pytest.raises(ConfigError) as refused:
            check_room(roles, 8)
        message = str(refused.value)
        assert message.startswith("the job and its GRM need 13 GPUs, the cluster has 8: OpenRLHF would wait without")
        assert "GRM                  4  2 x engine.tensor_parallel_size 2" in message
        assert "meta RM              1  1 x meta_rm.tensor_parallel_size 1" in message
        check_room(roles, 13)
        assert table(roles, 16).splitlines()[-1] == "all                 13  of 16 in the cluster"
