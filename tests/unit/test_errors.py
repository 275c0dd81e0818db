import inspect
import pickle

import pytest

from grm_plugin import errors
from grm_plugin.errors import GRMError

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_pickles_with_its_message(kind: type[GRMError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("engine: gone; start it again")))
    assert type(copy) is kind
    assert str(copy) == "engine: gone; start it again"


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    parents = {kind.__name__: kind.__bases__[0].__name__ for kind in ALL}
    assert parents == {
        "GRMError": "Exception",
        "ConfigError": "GRMError",
        "PromptError": "GRMError",
        "EngineError": "GRMError",
        "EngineTimeout": "EngineError",
        "EngineRefusal": "EngineError",
        "PromptTooLong": "EngineError",
        "GroupError": "GRMError",
        "RewardError": "GRMError",
        "ServiceError": "GRMError",
        "ServiceBusy": "ServiceError",
        "StoreError": "GRMError",
        "DamagedStore": "StoreError",
        "WireError": "GRMError",
    }
    assert all(name in (errors.__doc__ or "") for name in parents)
