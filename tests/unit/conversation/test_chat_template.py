"""Chat templates of real (tiny) tokenizers, read backwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from grm_plugin.conversation.reader import ConversationReader
from grm_plugin.errors import PromptError
from grm_plugin.types import Conversation, Message

SYSTEM, USER = Message("system", "Be brief."), Message("user", "What is 2 + 2?\n\nThink first.")
PROBE = (USER, Message("assistant", "It is 4."), Message("user", "Sure?"))
DEFAULT_SYSTEM = Message("system", "You help.")
RULED = Message("user", "Above\n---\nbelow")
LOOP = "{% for m in messages %}"
TEMPLATES = {
    "chatml": LOOP + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "default system turn": "{% if messages[0].role != 'system' %}<|sys|>You help.<|/sys|>\n{% endif %}"
    + LOOP
    + "{% if m.role == 'system' %}<|sys|>{{ m.content }}<|/sys|>\n"
    "{% elif m.role == 'user' %}<|u|>{{ m.content }}<|/u|>\n"
    "{% else %}<|a|>{{ m.content }}<|/a|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}",
    "reasoning": LOOP + "<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}{{ '<assistant><think>\n' }}",
    "system refused": LOOP + "{% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "{{ m.role | upper }}: {{ m.content | trim }}\n{% endfor %}ASSISTANT:",
    "system above a rule in the user turn": LOOP
    + "{% if m.role == 'system' %}## user\n{{ m.content }}\n---\n{% else %}"
    "{% if loop.index0 == 0 or messages[loop.index0 - 1].role != 'system' %}## {{ m.role }}\n{% endif %}"
    "{{ m.content }}\n{% endif %}{% endfor %}## assistant\n",
    "system inside the user turn": "{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}" + LOOP + "## {{ m.role }}\n"
    "{% if loop.first %}{{ first }}{% endif %}{{ m.content }}\n{% endfor %}## assistant\n",
}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], str]:
    """Saves a real (tiny) tokenizer with the given chat template; returns its folder."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    def save(template: str | None) -> str:
        words = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
        tokenizer.chat_template = template
        folder = tmp_path_factory.mktemp("tokenizer")
        tokenizer.save_pretrained(folder)
        return str(folder)

    return save


def prompt_of(folder: str, turns: Conversation) -> str:
    from transformers import AutoTokenizer

    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return AutoTokenizer.from_pretrained(folder).apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )


@pytest.mark.parametrize(
    ("name", "turns", "expected"),
    [
        ("chatml", (SYSTEM, *PROBE), (SYSTEM, *PROBE)),
        ("chatml", PROBE[:1], PROBE[:1]),
        ("default system turn", (SYSTEM, *PROBE), (SYSTEM, *PROBE)),
        ("default system turn", PROBE, (DEFAULT_SYSTEM, *PROBE)),
        ("default system turn", PROBE[:1], (DEFAULT_SYSTEM, PROBE[0])),
        ("default system turn", (Message("system", ""), USER), (USER,)),
        ("system above a rule in the user turn", (RULED,), (RULED,)),
        ("reasoning", (SYSTEM, *PROBE), (SYSTEM, *PROBE)),
        ("reasoning", PROBE, PROBE),
        ("system refused", PROBE, PROBE),
        ("system inside the user turn", PROBE, PROBE),
        (
            "system inside the user turn",
            (SYSTEM, PROBE[0]),
            (Message("user", f"{SYSTEM.content}\n\n{PROBE[0].content}"),),
        ),
    ],
)
def test_a_chat_template_is_inverted(
    tokenizer_folder: Callable[[str | None], str], name: str, turns: Conversation, expected: Conversation
) -> None:
    folder = tokenizer_folder(TEMPLATES[name])

    assert ConversationReader("tokenizer", folder).read(prompt_of(folder, turns)) == expected


def test_a_stripped_prompt_still_fits(tokenizer_folder: Callable[[str | None], str]) -> None:
    folder = tokenizer_folder(TEMPLATES["reasoning"])

    assert ConversationReader("tokenizer", folder).read(prompt_of(folder, PROBE).rstrip()) == PROBE


@pytest.mark.parametrize(
    "prompt", ["", "Just a question", "<user>Hi", "Hi</user><assistant><think>", "<user>a</user><assistant>b"]
)
def test_a_text_that_the_template_never_wrote_is_one_user_turn(
    tokenizer_folder: Callable[[str | None], str], prompt: str
) -> None:
    reader = ConversationReader("tokenizer", tokenizer_folder(TEMPLATES["reasoning"]))

    assert reader.read(prompt) == (Message("user", prompt),)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (LOOP + "{{ m.content }}{% endfor %}", "cannot be told apart"),
        ("{{ messages[-1].content }} -->", "cannot be told apart"),
        (LOOP + "{{ m.content }}|{{ m.content }}|{% endfor %}", "cannot be told apart"),
        ("{{ raise_exception('broken on purpose') }}", "broken on purpose"),
        ("{% for %}", "no usable chat template"),
        (None, "no usable chat template"),
    ],
    ids=["no marks", "last turn only", "doubled", "raises", "no template syntax", "none"],
)
def test_a_template_that_cannot_be_inverted(
    tokenizer_folder: Callable[[str | None], str], template: str | None, message: str
) -> None:
    with pytest.raises(PromptError, match=rf"conversation\.tokenizer: .*{message}") as error:
        ConversationReader("tokenizer", tokenizer_folder(template))

    assert "conversation.format" in str(error.value)


def test_a_tokenizer_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"conversation\.tokenizer: "):
        ConversationReader("tokenizer", str(tmp_path))
    with pytest.raises(PromptError, match=r"set conversation\.tokenizer"):
        ConversationReader("tokenizer")
