"""The GRM in a Python program, without a service.

    from grm_plugin import Judge

    with Judge.from_config("preset:dry_run") as judge:
        judged = judge.judge_sync("Name three fruits.", ["plum, fig, pear", "cats"])
        print(judged)                                       # a table, best first
        print(judged.best.text, judged.to_dict())

It is the service's core without HTTP and Ray, so rewards are those of `grm-plugin serve` with the same configuration,
and `Client` gives the same objects.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast, overload

from grm_plugin._util.background import await_background, run_in_background
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.config.packages import check_packages
from grm_plugin.errors import ServiceError
from grm_plugin.wire.group_forms import AnyGroup, Prompt, Responses, group_of, to_wires
from grm_plugin.wire.judged_group import JudgedGroup
from grm_plugin.wire.schemas import ScoreRequest, WireGroup

if TYPE_CHECKING:
    from grm_plugin.judging.seams import Generator, MetaRM
    from grm_plugin.serving.service import RewardService


class Judge:
    """Judges in this process: loads the engine of a configuration now, and keeps it until `close`.

    Threads and event loops may share it. `grm_plugin.judging.judge.Judge`, which this wraps, takes an engine of yours.

    Args:
        config: the whole configuration.

    Raises:
        ConfigError: a package is missing that the engine needs, or there are too few GPUs.
        EngineError: a model cannot be loaded.
        PromptError, StoreError: the template does not render; the trace store (`trace.path`) cannot be written.
    """

    def __init__(self, config: Config) -> None:
        from grm_plugin.batch.group_judges import without_limit
        from grm_plugin.batch.local_engines import running_engines  # loads frameworks that a client does without

        check_packages(config)
        self.config = config
        with ExitStack() as stack:
            engines = stack.enter_context(running_engines(config))
            self._service = run_in_background(_start(without_limit(config), *engines))
            stack.callback(self._service.close_here)
            self._close = weakref.finalize(self, stack.pop_all().close)

    @classmethod
    def from_config(cls, config: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Self:
        """A judge by a YAML file, `preset:NAME`, or a mapping; `overrides` as for `load_config`.

        Raises:
            ConfigError, EngineError, PromptError, StoreError: the configuration is wrong, or as `Judge`.
        """
        return cls(load_config(config, overrides))

    @overload
    def judge_sync(self, groups: Prompt, responses: Responses, *, learn: bool = True, **labels: Any) -> JudgedGroup: ...

    @overload
    def judge_sync(
        self, groups: Sequence[AnyGroup], responses: None = None, *, learn: bool = True
    ) -> list[JudgedGroup]: ...

    def judge_sync(
        self,
        groups: Prompt | Sequence[AnyGroup],
        responses: Responses | None = None,
        *,
        learn: bool = True,
        **labels: Any,
    ) -> JudgedGroup | list[JudgedGroup]:
        """`judge` for callers that are not async; also where an event loop runs, as in a notebook."""
        work = self._judge(groups, responses, learn, labels)
        return run_in_background(work)

    @overload
    async def judge(
        self, groups: Prompt, responses: Responses, *, learn: bool = True, **labels: Any
    ) -> JudgedGroup: ...

    @overload
    async def judge(
        self, groups: Sequence[AnyGroup], responses: None = None, *, learn: bool = True
    ) -> list[JudgedGroup]: ...

    async def judge(
        self,
        groups: Prompt | Sequence[AnyGroup],
        responses: Responses | None = None,
        *,
        learn: bool = True,
        **labels: Any,
    ) -> JudgedGroup | list[JudgedGroup]:
        """Judge the responses to one prompt, or many groups, all at once and within `failure.deadline_s`.

            judge.judge_sync("Name three fruits.", ["plum, fig, pear", "cats"], reference="any three")
            judge.judge_sync([("Name three fruits.", ["plum, fig, pear", "cats"]), ...])

        Args:
            groups: a prompt, or groups, in the forms of `wire.group_forms`.
            responses: those to the prompt; None where `groups` are groups.
            learn: False for evaluation: `normalize.method` running does not learn from it.
            labels: of the prompt: `reference`, `rubric`, `criteria`, `source`, as in `POST /v1/score`.

        Raises:
            WireError: a group does not fit the schema (the message names the field), or is one response, which
                `normalize.method` cannot reward alone.
            RewardError: a reward is missing and `failure.policy` is `raise`.
            ServiceError: the judge is closed.
        """
        return await await_background(self._judge(groups, responses, learn, labels))

    def close(self) -> None:
        """End the engine, and write what waits to be written; at the latest when the process ends."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def _judge(
        self, groups: object, responses: Responses | None, learn: bool, labels: Mapping[str, Any]
    ) -> JudgedGroup | list[JudgedGroup]:
        if responses is None:
            return await self._judge_all(to_wires(groups, **labels), learn)
        return (await self._judge_all([group_of(cast(Prompt, groups), responses, **labels)], learn))[0]

    async def _judge_all(self, groups: list[WireGroup], learn: bool) -> list[JudgedGroup]:
        if not self._close.alive:
            raise ServiceError("this judge is closed: make another one")
        # Checked already, and not limited in number as what travels is.
        request = ScoreRequest.model_construct(groups=groups, learn=learn)
        judgements = (await self._service.judge_groups(request)).judgements
        return [JudgedGroup.of(*pair) for pair in zip(groups, judgements, strict=True)]


async def _start(config: Config, grm: Generator, meta_rm: MetaRM | None) -> RewardService:
    """In the event loop in which it will be used."""
    from grm_plugin.serving.service import RewardService

    return RewardService(config, grm, meta_rm)
