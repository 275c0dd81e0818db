"""What is no rule is refused when the service starts, with its file, its name and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from grm_plugin.errors import ConfigError
from grm_plugin.rules.runner import RuleRunner

WRONG = {
    "no_function = 1": "is 1 and no function",
    "async def no_function(response): ...": "is async",
    "async def no_function(response): yield": "is async",
    "class A:\n async def __call__(self, response): ...\nno_function = A()": "is async",
    "def no_function(answer): ...": "asks for answer; a rule takes prompt, messages, response, reference, source",
    "def no_function(response, /): ...": "asks for response;",
    "def no_function(response, *, answer): ...": "asks for answer;",
    "def no_function(respones=''): ...": "takes no response",
    "def no_function(): ...": "takes no response",
    "def other(response): ...\ndef _own(response): ...": "has no function no_function; it has other",
    "": "has no function no_function; it has none",
    "def no_function(response)\n return 1": "mend it: it raised SyntaxError in line 1",
    "\nimport no_such_module": "mend it: it raised ModuleNotFoundError in line 2: No module named 'no_such_module'",
    "import sys\nsys.exit('bye')": "mend it: it raised SystemExit in line 2: bye",
    "import os\nos._exit(7)": "ended its process (exit status 7)",
    "import os\nos.kill(os.getpid(), 9)": "ended its process (by SIGKILL)",
}


@pytest.mark.parametrize("source", WRONG)
def test_what_is_no_rule_is_refused_at_the_start(tmp_path: Path, source: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(source)
    checked = RuleRunner({"boxed": f"{path}:no_function"}, 1.0, 1)
    with pytest.raises(ConfigError, match="rule 'boxed': ") as told:
        checked.check()
    checked.close()
    assert WRONG[source] in str(told.value)
    assert str(path) in str(told.value)


def test_a_file_that_hangs_at_import_is_refused(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(600)\n")
    checked = RuleRunner({"boxed": f"{tmp_path / 'slow.py'}:f"}, 1.0, 1, load_s=1.0)
    with pytest.raises(ConfigError, match=r"rule 'boxed': importing .*slow.py took longer than 1 s"):
        checked.check()
    checked.close()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    checked = RuleRunner({"boxed": f"{tmp_path / 'none.py'}:f"}, 1.0, 1)
    with pytest.raises(ConfigError, match=r"rule 'boxed': there is no file .*none.py; give the path"):
        checked.check()
    checked.close()


@pytest.mark.parametrize(
    "text", ["rules.py", "rules.py:", ":f", "rules:f", "rules.py:f()", "rules.py:a.b", "", "os:system"]
)
def test_what_names_no_function_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"names no function; write it as file\.py:function"):
        RuleRunner({"boxed": text}, 1.0, 1)
