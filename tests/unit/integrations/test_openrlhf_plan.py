"""OpenRLHF's flags and GPUs before its job: what it would refuse after minutes, or wait for without an end."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from grm_plugin.config import FailureConfig
from grm_plugin.errors import ConfigError
from grm_plugin.integrations.openrlhf import gpu_plan, openrlhf_flags
from grm_plugin.integrations.openrlhf.gpu_plan import check_room, roles_of, roles_of_grm, table
from grm_plugin.integrations.openrlhf.judging_plan import judging_plan
from grm_plugin.integrations.openrlhf.openrlhf_flags import read_flags
from support.factories import make_config
from support.trace_factories import fill, judged, writing

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
            check_room(roles, [8])
        message = str(refused.value)
        assert message.startswith("the job and its GRM need 13 GPUs, the cluster has 8: OpenRLHF would wait without")
        assert "GRM                  4     90%  2 x engine.tensor_parallel_size 2" in message
        assert "meta RM              1     90%  1 x meta_rm.tensor_parallel_size 1" in message
        check_room(roles, [13])
        assert table(roles, 16).splitlines()[-1] == "all                 13          of 16 in the cluster"

    def test_each_replica_of_the_grm_needs_its_gpus_on_one_node(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gpu_plan, "gpus_per_replica", lambda model, _: model.tensor_parallel_size)
        config = make_config(engine={"type": "vllm", "model": "a/b", "tensor_parallel_size": 8})
        roles = [*roles_of(flags_of(*GROUPS, "--actor.num_gpus_per_node", "2")), *roles_of_grm(config, 16)]
        with pytest.raises(
            ConfigError,
            match=r"each replica of GRM needs its GPUs on one node \(8\), and the nodes have 4 \+ 4 \+ 4 \+ 4",
        ):
            check_room(roles, [4, 4, 4, 4])
        check_room(roles, [8, 8, 4])

    @pytest.mark.parametrize("nodes", [[4.0, 4.0, 2.0], [5.0, 5.0]], ids=str)
    def test_grm_and_meta_rm_are_packed_together(self, monkeypatch: pytest.MonkeyPatch, nodes: list[float]) -> None:
        monkeypatch.setattr(gpu_plan, "gpus_per_replica", lambda model, _: model.tensor_parallel_size)
        config = make_config(
            engine={"type": "vllm", "model": "a/b", "tensor_parallel_size": 3, "replicas": 2},
            meta_rm={"model": "a/c", "tensor_parallel_size": 3},
        )
        with pytest.raises(
            ConfigError, match=r"each replica of GRM and meta RM needs its GPUs on one node \(3 \+ 3 \+ 3\)"
        ):
            check_room(roles_of_grm(config, 10), nodes)
        check_room(roles_of_grm(config, 10), [6.0, 4.0])


class TestJudging:
    """What a step asks of the GRM, and whether the deadline holds."""

    def test_without_traces_it_says_what_the_deadline_asks_of_the_replicas(self) -> None:
        config = make_config(group__n=8, sampling__k=8, failure__deadline_s=1200, sampling__max_tokens=2048)
        said = judging_plan(config, 128, "agent")
        assert "2,048 critiques (128 prompts x 2 list(s) of their 8 responses x k = 8); 4,194,304 tokens" in said
        assert "The deadline of 1,200 s holds" in said
        assert "if each of 1 replica(s) writes 3,495 tokens/s" in said
        assert "The deadline of 170 s holds" in judging_plan(config, 128, "http")  # OpenRLHF's HTTP call gives up then

    def test_pairs_are_counted(self) -> None:
        config = make_config(group__n=8, sampling__k=4, judge__mode="pairwise")
        said = judging_plan(config, 128, "agent")
        assert "14,336 critiques (128 prompts x 28 pair(s) of their 8 responses x k = 4); " in said

    def test_tiebreaks_are_an_upper_bound_of_which_traces_tell_the_share(self, tmp_path: Path) -> None:
        config = make_config(group__n=4, sampling__k=4, judge__mode="tiebreak")
        said = judging_plan(config, 10, "agent")
        assert (
            "160 critiques (at most: 10 prompts x 1 list(s) of their 4 responses x k = 4, and 120 if all neighbours "
            "are tied: 30 pairs x 4; expect a third of them where responses differ" in said
        )
        path = tmp_path / "traces.db"
        groups = [judged("3", "3 too", "9", "5", generator=writing("as seen."), judge__mode="tiebreak")]
        fill(path, [replace(group, latency_s=2.0) for group in groups])
        config = config.model_copy(update={"trace": make_config(trace__path=str(path)).trace})
        assert "30 pairs x 4, of which 33% were there: some 40)" in judging_plan(config, 10, "agent")

    def test_traces_of_the_same_grm_tell_its_seconds(self, tmp_path: Path) -> None:
        """One group of 14 tokens took 2 s there; a step has 256 such, one after the other."""
        path = tmp_path / "traces.db"
        judged_groups = [replace(judged("3", "4", generator=writing("as seen.")), latency_s=2.0)]
        fill(path, judged_groups)
        config = make_config(group__n=2, sampling__k=2, trace__path=str(path), failure__deadline_s=1200)
        said = judging_plan(config, 256, "agent")
        assert f"3,584 tokens at 7 per critique, as in {path}" in said
        assert "1 replica(s) take 512 s, and the deadline of 1,200 s holds" in said
        missed = judging_plan(config.model_copy(update={"failure": FailureConfig(deadline_s=100)}), 256, "agent")
        assert "the deadline of 100 s is MISSED if they come at once" in missed

    def test_a_store_that_tells_nothing_is_passed_over(self, tmp_path: Path) -> None:
        for name, text in (("none.db", None), ("damaged.db", "no store")):
            if text is not None:
                (tmp_path / name).write_text(text)
            config = make_config(trace__path=str(tmp_path / name))
            assert "if each has sampling.max_tokens" in judging_plan(config, 8, "agent")
