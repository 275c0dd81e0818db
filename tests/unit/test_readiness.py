"""Whether a job waits for its service: for one that is coming, and not for an address that is wrong."""

import pytest
from factories import Scripted, completions, live, make_config

from grm_plugin.errors import EngineError, ServiceError
from grm_plugin.readiness import require_ready
from grm_plugin.serving.http import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Prompt, Sampling


def loading(probes: int) -> Scripted:
    """A GRM that cannot answer so many times, and can then."""

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if len(generator.calls) <= probes:
            raise EngineError("the model is loading")
        return completions([5])

    generator = Scripted(reply)
    return generator


@pytest.mark.parametrize("patience_s", [0.0, 60.0])
def test_a_service_that_is_on_its_way_is_waited_for(patience_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.readiness.LOOK_S", 0.01)
    generator = loading(2)
    service = RewardService(make_config(), generator)
    with live(create_app(lambda: service)) as url:
        if patience_s:
            assert require_ready(url, patience_s=patience_s) == service.config.failure.deadline_s
            assert len(generator.calls) == 3
        else:
            with pytest.raises(ServiceError, match="cannot judge: the model is loading"):
                require_ready(url)
            assert len(generator.calls) == 1
