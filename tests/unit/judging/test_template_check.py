"""A template that leaves out what is judged is refused at start-up, with the variables to use."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from grm_plugin.errors import PromptError
from grm_plugin.judging.prompts import PromptBuilder
from support.factories import make_config

TURNS = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
FENCED = "{% for response in responses %}[{{ marker }}]\n{{ response }}\n{% endfor %}"
REST = "{{ reference }} {{ rubric }}"


def template(folder: Path, text: str) -> str:
    path = folder / "mine.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


REFUSED = {
    "Python's placeholders": (
        "Context:\n{conversation_context}\nAnswer:\n{assistant_response}",
        ["response 1 of 1", "'{conversation_context}' looks like Python's format", "{{ messages }}", "{{ responses }}"],
    ),
    "prose in braces": ("#### Context\n{conversation context & query}\n" + FENCED, ["last turn", "Python's format"]),
    "no response": (TURNS + REST, ["does not show response 1 of 1", "{% for response in responses %}"]),
    "one response of several": (TURNS + "{{ responses[0] }}", ["does not show response 2 of 2"]),
    "three responses of four": (TURNS + "{{ responses[:3] | join('\n') }}", ["does not show response 4 of 4"]),
    "the beginning of a response": (TURNS + "{{ responses | map('truncate', 100) | join('\n') }}", ["response 1 of 1"]),
    "capitals": (TURNS + "{{ responses | join('\n') | upper }}", ["does not show response 1"]),
    "no turn": (FENCED, ["last turn", "{{ query }}"]),
    "the last turn only": ("{{ query }}\n" + FENCED, ["earlier turns", "{% for message in messages %}"]),
    "the first turn only": ("{{ messages[0].content }}\n" + FENCED, ["last turn"]),
    "no system turn": (
        "{% for message in messages if message.role != 'system' %}{{ message.content }}{% endfor %}" + FENCED,
        ["earlier turns"],
    ),
    "another order": (TURNS + "{{ responses | reverse | join('\n') }}", ["another order"]),
    "sorted": (TURNS + "{{ responses | sort | join('\n') }}", ["another order"]),
    "some fenced": (TURNS + "{{ marker }} {{ responses[0] }} {{ responses[1:] | join(' ') }}", ["fences some of"]),
    "comments": ("{# {{ query }} {{ responses }} #}Score them.", ["does not show response 1"]),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_left_out_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(PromptError) as error:
        PromptBuilder(template(tmp_path, text)).check()
    assert [word for word in ["mine.txt", *words] if word not in str(error.value)] == [], str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        TURNS + FENCED + REST,
        TURNS + "{% for response in responses %}{{ loop.index }}. {{ response }}\n{% endfor %}" + REST,
        TURNS + FENCED + FENCED + REST,
        r"{{ messages | map(attribute='content') | join(' ') }} \text{box} \boxed{x, x} {x}" + FENCED + REST,
    ],
    ids=["plain", "numbered", "twice", "LaTeX"],
)
def test_what_shows_everything_passes(tmp_path: Path, text: str) -> None:
    assert PromptBuilder(template(tmp_path, text)).check() == []


def test_a_template_for_pairs_is_asked_for_pairs_only(tmp_path: Path) -> None:
    path = template(tmp_path, TURNS + "A: {{ responses[0] }}\nB: {{ responses[1] }}\n" + REST)
    pairs = make_config(judge={"answer": "verdict", "list_size": 2, "template": path})
    assert PromptBuilder.of(pairs).check() == []
    with pytest.raises(PromptError, match=r"mine\.txt"):
        PromptBuilder.of(make_config(judge={"list_size": 2, "template": path})).check()
    by_regex = {"answer": "regex", "pattern": r"A=(\d+) B=(\d+)", "list_size": 2, "template": path}
    assert PromptBuilder.of(make_config(judge=by_regex)).check() == []


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        (TURNS + FENCED, ["reference answers ({{ reference }})", "grading notes ({{ rubric }})"]),
        (TURNS + FENCED + "{{ rubric }}", ["reference answers"]),
        (TURNS + FENCED + "{{ reference }}", ["grading notes"]),
    ],
)
def test_a_reference_or_rubric_that_is_not_shown_is_a_warning(tmp_path: Path, text: str, left_out: list[str]) -> None:
    (warning,) = PromptBuilder(template(tmp_path, text)).check()
    assert all(words in warning for words in ["mine.txt does not show", *left_out])
    assert len(left_out) == warning.count("({{")


def test_no_warning_where_references_are_not_used(tmp_path: Path) -> None:
    judge = {"template": template(tmp_path, TURNS + FENCED + "{{ rubric }}"), "use_reference": False}
    assert PromptBuilder.of(make_config(judge=judge)).check() == []


def test_the_meta_rms_template_must_show_responses_and_the_last_turn(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="does not show response 1"):
        PromptBuilder(None, template(tmp_path, "{{ query }}")).check()
    with pytest.raises(PromptError, match="last turn"):
        PromptBuilder(None, template(tmp_path, FENCED)).check()
    (warning,) = PromptBuilder(None, template(tmp_path, "{{ query }}" + FENCED + REST)).check()
    assert "earlier turns" in warning


def test_a_byte_order_mark_is_no_part_of_a_template(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(codecs.BOM_UTF8 + (TURNS + FENCED + REST).encode())
    builder = PromptBuilder(str(path))
    assert builder.check() == []
    assert "\ufeff" not in builder._listwise.source


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_by_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes((TURNS + FENCED).encode(encoding))
    with pytest.raises(PromptError, match=r"mine\.txt cannot be read: the file is UTF-16: save it as UTF-8"):
        PromptBuilder(str(path))


NUMBERED = "{% for response in responses %}{{ loop.index }}. {{ response }}\n{% endfor %}"


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        *(
            (f"{{% for r in responses %}}{{{{ loop.index }}}} {{{{ {cut} }}}}{{% endfor %}}", "or a part of it")
            for cut in (
                *("r[:1000]", "r[-1000:]", "r | truncate", "r | truncate(20000)", "r.splitlines()[0]", "r | wordcount"),
                *(r"r.split('\n\n')[0]", "r | striptags", "r.split() | first", "r if r | length < 1000 else ''"),
            )
        ),
        (NUMBERED + "The first: {{ responses[0] }}", "more often than others"),
        ("The first: {{ responses[0] }}\n" + NUMBERED, "more often than others"),
        ("{% for r in responses | reverse %}{{ r }}\n{% endfor %}", "another order"),
    ],
)
def test_a_response_that_is_cut_or_shown_more_often_than_another(tmp_path: Path, shown: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        PromptBuilder(template(tmp_path, TURNS + shown + REST)).check()


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ("{% for m in messages %}{{ m.content[:500] }}{% endfor %}", "does not show the last turn"),
        ("{% for m in messages[-6:] %}{{ m.content }}{% endfor %}", "earlier turns"),
        ("{% for m in messages if m.role != 'tool' %}{{ m.content }}{% endfor %}", "earlier turns"),
        ("{% for m in messages | reverse %}{{ m.content }}{% endfor %}", "turns of a conversation in another order"),
    ],
)
def test_a_conversation_that_is_cut_or_turned_round(tmp_path: Path, turns: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        PromptBuilder(template(tmp_path, turns + NUMBERED + REST)).check()


@pytest.mark.parametrize(
    ("shown", "warning"),
    [
        ("{% for r in responses %}{{ loop.index }} {{ r | e }}{% endfor %}", "changes characters"),
        ("{% for r in responses %}{{ loop.index }} {{ r | tojson }}{% endfor %}", "changes characters"),
        ("{{ responses }}", "changes characters"),
        ("{% for r in responses %}{{ r }}\n{% endfor %}", "shows nothing between"),
        ("{{ responses | join }}", "shows nothing between"),
        ("{% for r in responses %}{{ loop.index }} {{ r | trim | indent(4) }}{% endfor %}", None),
        ("{% for r in responses %}{{ loop.index }} {{ r | wordwrap(10000) }}{% endfor %}", None),
    ],
)
def test_responses_that_are_shown_in_another_form(tmp_path: Path, shown: str, warning: str | None) -> None:
    warnings = PromptBuilder(template(tmp_path, TURNS + shown + REST)).check()
    assert len(warnings) == (warning is not None)
    assert all(warning is not None and warning in each for each in warnings)
