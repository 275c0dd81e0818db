"""`grm-plugin score` that is resumed: it goes on with the same configuration and groups, and with no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from grm_plugin.cli.app import app
from grm_plugin.config.loading import load_config
from grm_plugin.errors import ConfigError
from grm_plugin.serving.http.without_ray import app_and_service
from support.factories import live
from support.score_files import GOOD, numbered, read_rows, write_lines

FIRST = {"id": "a", **GOOD}
SECOND = {"id": "b", "prompt": "Which?", "responses": ["this one", "that"]}
FOR_TWO = "{{ messages }}{% for response in responses %}[{{ response }}]{% endfor %}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a finished run: `in.jsonl`, `config.yaml` and `out.jsonl`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("engine: {type: fake}\nsampling: {k: 2}\nmeta_rm: {type: fake}\n")
    write_lines(tmp_path / "in.jsonl", FIRST)
    assert score().exit_code == 0
    write_lines(tmp_path / "in.jsonl", FIRST, SECOND)
    return tmp_path


def score(*arguments: str) -> Result:
    source = () if "--url" in arguments else ("-c", "config.yaml")
    return CliRunner().invoke(app, ["score", "in.jsonl", "-o", "out.jsonl", *source, *arguments])


def refused(*arguments: str) -> str:
    before = Path("out.jsonl").read_bytes()
    result = score(*arguments)
    assert isinstance(result.exception, ConfigError), result.output
    assert Path("out.jsonl").read_bytes() == before
    return str(result.exception)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("engine={type: openai, model: m, base_url: 'http://h/v1'}", "engine"),
        ("sampling.k=4", "sampling"),
        ("sampling.temperature=1", "sampling"),
        ("sampling.seed=1", "sampling"),
        ("judge.list_size=2", "judge"),
        ("judge.blank_response=judge", "judge"),
        ("judge.decimals=accept", "judge"),
        ("judge.use_reference=false", "judge"),
        ("normalize.method=rank", "normalize"),
        ("failure.policy=constant", "failure"),
        ("failure.constant=-1", "failure"),
        ("conversation.format=chatml", "conversation"),
        ("meta_rm.k_meta=2", "meta_rm"),
        ("meta_rm=null", "meta_rm"),
        ("judge.template=./two.txt", "prompt, template"),
        ("meta_rm.template=./two.txt", "meta_rm, template"),
    ],
)
def test_another_configuration_is_refused_by_its_part(override: str, part: str) -> None:
    Path("two.txt").write_text(FOR_TWO)
    message = refused(f"--grm.{override}")
    assert message == f"out.jsonl holds results of another run, which differs in {part}: give another --output"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "override", ["service.port=1234", "failure.deadline_s=100", "engine.delay_s=0.01", "trace.sample=0.5", "group.n=2"]
)
def test_what_changes_no_reward_goes_on(override: str) -> None:
    done = score(f"--grm.{override}")
    assert done.exit_code == 0, done.exception
    assert "2 of 2 groups (1 from before)" in done.stderr
    assert [row["id"] for row in read_rows(Path("out.jsonl"))] == ["a", "b"]


def test_a_branch_of_a_template_that_no_example_shows_counts(folder: Path) -> None:
    (folder / "out.jsonl").unlink()
    branch = FOR_TWO + "{% if n > 3 %}BE STRICT{% endif %}"
    (folder / "listwise.txt").write_text(branch)
    assert score("--grm.judge.template=./listwise.txt").exit_code == 0
    (folder / "listwise.txt").write_text(branch.replace("STRICT", "KIND"))
    assert "which differs in template: give" in refused("--grm.judge.template=./listwise.txt")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "changed",
    [
        {"responses": ["plum", "cats"]},
        {"responses": list(reversed(GOOD["responses"]))},
        {"responses": [*GOOD["responses"], "one more"]},
        {"prompt": "Name two fruits."},
        {"reference": "plum"},
        {"rubric": "be strict"},
    ],
)
def test_another_group_under_the_same_id_is_refused(changed: dict[str, Any]) -> None:
    write_lines(Path("in.jsonl"), SECOND, FIRST | changed)
    message = "out.jsonl has a result for another group with the id 'a': give another --output, or the group another id"
    assert refused() == message


@pytest.mark.usefixtures("folder")
def test_the_same_groups_may_move_and_be_written_otherwise() -> None:
    rewritten = json.dumps({"responses": FIRST["responses"], "reference": None, "prompt": FIRST["prompt"], "id": "a"})
    write_lines(Path("in.jsonl"), SECOND, "", rewritten)
    assert "2 of 2 groups (1 from before)" in score().stderr


def test_a_changed_group_without_an_id_is_a_new_one(folder: Path) -> None:
    write_lines(folder / "in.jsonl", GOOD)
    assert score().exit_code == 0
    write_lines(folder / "in.jsonl", GOOD | {"prompt": "Name two fruits."})
    assert "1 of 1 groups; 2 rewards now" in score().stderr
    assert len(read_rows(folder / "out.jsonl")) == 3


def test_results_of_an_earlier_version_are_taken_as_they_are_and_said_so(folder: Path) -> None:
    rows = read_rows(folder / "out.jsonl")
    for row in rows:
        del row["digest"], row["fingerprint"]
    write_lines(folder / "out.jsonl", *rows)
    done = score()
    assert done.exit_code == 0
    assert "warning: 1 results in out.jsonl are of an earlier version, which did not write down what" in done.stderr
    assert "give another --output" in done.stderr
    assert "2 of 2 groups (1 from before)" in done.stderr


def test_running_statistics_do_not_go_on(folder: Path) -> None:
    (folder / "out.jsonl").unlink()
    write_lines(folder / "in.jsonl", *numbered(2))
    done = score("--grm.normalize.method=running")
    assert done.exit_code == 0
    assert "warning: normalize.method running: a reward depends on the groups that were judged before it" in done.stderr
    assert score("--grm.normalize.method=running").exit_code == 0, "nothing is missing"
    write_lines(folder / "in.jsonl", *numbered(3))
    assert "the statistics of the run that began out.jsonl are gone" in refused("--grm.normalize.method=running")


def test_a_service_with_another_configuration_is_refused(folder: Path) -> None:
    (folder / "out.jsonl").unlink()
    write_lines(folder / "in.jsonl", FIRST)

    def served(*arguments: str, **overrides: str) -> Result:
        config = load_config(folder / "config.yaml", {key.replace("__", "."): each for key, each in overrides.items()})
        with live(app_and_service(config)[0]) as url:
            return score("--url", url, *arguments)

    assert served().exit_code == 0
    write_lines(folder / "in.jsonl", FIRST, SECOND)
    other = served(normalize__method="rank")
    assert "which differs in normalize: give another --output" in str(other.exception)
    assert "2 of 2 groups (1 from before)" in served(service__port="1").stderr
    write_lines(folder / "in.jsonl", *numbered(1), FIRST, SECOND)
    assert "3 of 3 groups (2 from before)" in score().stderr, "a GRM in this process with the same configuration"
