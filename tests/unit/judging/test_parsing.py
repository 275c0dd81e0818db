"""The parser: every completion is a verdict by the rule of `judging.parsing`, or a missing vote with its reason."""

from __future__ import annotations

import pytest

from grm_plugin.judging.parsing import parse
from grm_plugin.types import DETAIL_CHARS, Completion, Scores, Unparsed, UnparsedReason

EMPTY = UnparsedReason.EMPTY
NO_SCORES = UnparsedReason.NO_SCORES
WRONG_COUNT = UnparsedReason.WRONG_COUNT
NOT_INTEGER = UnparsedReason.NOT_INTEGER
OUT_OF_RANGE = UnparsedReason.OUT_OF_RANGE
AMBIGUOUS = UnparsedReason.AMBIGUOUS

ANALYSIS = "Specific Criteria: Correctness (60%), Tone (40%)\nAnalysis: Response 1 is right, Response 2 is rude.\n"

VERDICTS = {
    "as asked for": (ANALYSIS + r"Scores: \boxed{8, 3}", (8, 3)),
    "one response": (r"Scores: \boxed{7}", (7,)),
    "singular for one response": (r"Score: \boxed{7}", (7,)),
    "four responses": (r"Scores: \boxed{1, 10, 5, 5}", (1, 10, 5, 5)),
    "no analysis at all": (r"Scores: \boxed{8, 3}", (8, 3)),
    "lower case": (r"scores: \boxed{8, 3}", (8, 3)),
    "upper case": (r"SCORES: \boxed{8, 3}", (8, 3)),
    "indented": (ANALYSIS + "  \t" + r"Scores: \boxed{8, 3}", (8, 3)),
    "no space anywhere": (r"Scores:\boxed{8,3}", (8, 3)),
    "spaces everywhere": (r"Scores :  \boxed { 8 ,  3 } ", (8, 3)),
    "no colon": (r"Scores \boxed{8, 3}", (8, 3)),
    "equals sign": (r"Scores = \boxed{8, 3}", (8, 3)),
    "newlines inside the braces": ("Scores: \\boxed{\n8,\n3\n}", (8, 3)),
    "windows line ends": (ANALYSIS.replace("\n", "\r\n") + "**Scores:**\r\n\\boxed{8, 3}\r\n", (8, 3)),
    "no-break space": ("Scores: \\boxed{8,\u00a03}", (8, 3)),
    "doubled backslash": (r"Scores: \\boxed{8, 3}", (8, 3)),
    "four backslashes": (r"Scores: \\\\boxed{8, 3}", (8, 3)),
    "inline mathematics": (r"Scores: $\boxed{8, 3}$", (8, 3)),
    "display mathematics": ("### Scores\n\\[\n\\boxed{8, 3}\n\\]", (8, 3)),
    "display mathematics with dollars": ("Scores:\n$$\n\\boxed{8, 3}\n$$", (8, 3)),
    "markdown heading": (ANALYSIS + "### Scores\n\\boxed{8, 3}", (8, 3)),
    "markdown heading with a colon": (ANALYSIS + "#### Scores:\n\n\\boxed{8, 3}", (8, 3)),
    "closed markdown heading": (ANALYSIS + "#### Scores ####\n\\boxed{8, 3}", (8, 3)),
    "bold, colon inside": (r"**Scores:** \boxed{8, 3}", (8, 3)),
    "bold, colon outside": (r"**Scores**: \boxed{8, 3}", (8, 3)),
    "bold heading": (r"### **Scores**" + "\n" + r"\boxed{8, 3}", (8, 3)),
    "bold box": (r"**Scores: \boxed{8, 3}**", (8, 3)),
    "underscores": (r"__Scores:__ \boxed{8, 3}", (8, 3)),
    "bullet": (r"- Scores: \boxed{8, 3}", (8, 3)),
    "list number": (r"3. **Scores:** \boxed{8, 3}", (8, 3)),
    "qualified": (r"Final Scores: \boxed{8, 3}", (8, 3)),
    "overall": (r"**Overall scores**: \boxed{8, 3}", (8, 3)),
    "remark in parentheses": (r"Scores (in the order shown): \boxed{8, 3}", (8, 3)),
    "blank lines before the box": ("Scores:\n\n   \n\n\\boxed{8, 3}", (8, 3)),
    "rule before the box": ("Scores:\n---\n\\boxed{8, 3}", (8, 3)),
    "words before the box": (r"Scores: the two get \boxed{8, 3}", (8, 3)),
    "verdict in a code block": ("```\nScores: \\boxed{8, 3}\n```", (8, 3)),
    "full-width comma": ("Scores: \\boxed{8，3}", (8, 3)),
    "ideographic comma": ("Scores: \\boxed{8、3}", (8, 3)),
    "full-width colon": ("Scores：\\boxed{8, 3}", (8, 3)),
    "full-width digits": ("Scores: \\boxed{８, １０}", (8, 10)),
    "full-width parentheses": ("Scores（总分）：\\boxed{8, 3}", (8, 3)),
    "full-width braces": ("Scores: \\boxed｛8，3｝", (8, 3)),
    "leading zero": (r"Scores: \boxed{08, 03}", (8, 3)),
    "special token behind": (r"Scores: \boxed{8, 3}<|im_end|>", (8, 3)),
    "closing remark behind": ("Scores: \\boxed{8, 3}\n\nI hope that this helps!", (8, 3)),
    "prose about scores behind": ("Scores: \\boxed{8, 3}\nScores are relative to the request.", (8, 3)),
    "further box behind": ("Scores: \\boxed{8, 3}\n\nThe best one is \\boxed{1}.", (8, 3)),
    "two Scores blocks, the last one is on reflection": (
        ANALYSIS + "Scores: \\boxed{2, 9}\nOn reflection:\nScores: \\boxed{8, 3}",
        (8, 3),
    ),
    "draft without a box, then the verdict": ("Scores: 2 and 9?\nNo.\nScores: \\boxed{8, 3}", (8, 3)),
    "broken draft, then the verdict": ("Scores: \\boxed{x, x}\nScores: \\boxed{8, 3}", (8, 3)),
    "box per criterion in the analysis": ("Analysis: Tone \\boxed{2}, facts \\boxed{9}\nScores: \\boxed{8, 3}", (8, 3)),
    "score per criterion in the analysis": ("Analysis:\nScore: 2/10\nTone score: 9\nScores: \\boxed{8, 3}", (8, 3)),
    "response quoted before": ('It says "Scores: \\boxed{10, 1}".\nScores: \\boxed{8, 3}', (8, 3)),
    "response quoted behind": ("Scores: \\boxed{8, 3}\n> Scores: \\boxed{10, 1}\n", (8, 3)),
    "reasoning before": ("<think>\nScores: \\boxed{1, 1}\n</think>\nScores: \\boxed{8, 3}", (8, 3)),
    "reasoning opened by the prompt": ("perhaps \\boxed{1, 1}</think>Scores: \\boxed{8, 3}", (8, 3)),
    "two reasonings": ("<think>a</think>\nScores: \\boxed{1, 1}\n<think>b</think>\nScores: \\boxed{8, 3}", (8, 3)),
    "100 kB of analysis": ("Analysis: " + "word " * 20_000 + "\nScores: \\boxed{8, 3}", (8, 3)),
}

LOST = {
    "nothing": ("", 2, EMPTY),
    "white space": (" \n\t \u3000\n", 2, EMPTY),
    "reasoning only": ("<think>Scores: \\boxed{8, 3}</think>\n", 2, EMPTY),
    "reasoning without end": ("<think>\nScores: \\boxed{8, 3}", 2, NO_SCORES),
    "second reasoning without end": ("<think>a</think> <think>\nScores: \\boxed{8, 3}", 2, NO_SCORES),
    "prose": ("Both responses are fine.", 2, NO_SCORES),
    "box without a Scores line": (r"The verdict is \boxed{8, 3}", 2, NO_SCORES),
    "quoted in the line": ('Analysis: it claims "Scores: \\boxed{10, 10}", which is false.', 2, NO_SCORES),
    "quoted as a block": ("Analysis: it claims\n> Scores: \\boxed{10, 10}\nwhich is false.", 2, NO_SCORES),
    "quoted, and the verdict forgotten": ("It says \\boxed{10, 10}.\nScores:", 2, NO_SCORES),
    "heading only": ("### Scores\n", 2, NO_SCORES),
    "heading, then symbols": ("### Scores\n***\n$$ $$", 2, NO_SCORES),
    "numbers without a box": ("Scores: 8, 3", 2, NO_SCORES),
    "numbers, and a box far below": ("Scores: 8, 3\n\\boxed{8, 3}", 2, NO_SCORES),
    "a line between heading and box": ("Scores:\nResponse 1 wins.\n\\boxed{8, 3}", 2, NO_SCORES),
    "square brackets": ("Scores: [8, 3]", 2, NO_SCORES),
    "box without braces": (r"Scores: \boxed 8, 3", 2, NO_SCORES),
    "box without backslash": ("Scores: boxed{8, 3}", 2, NO_SCORES),
    "box not closed": (r"Scores: \boxed{8, 3", 2, NO_SCORES),
    "prose that starts like a heading": (r"Scores are \boxed{8, 3}", 2, NO_SCORES),
    "scores of one criterion": (r"Scores for tone: \boxed{8, 3}", 2, NO_SCORES),
    "compound word": (r"Score-wise: \boxed{8, 3}", 2, NO_SCORES),
    "verdict, then a Scores line without a box": ("Scores: \\boxed{8, 3}\nScores: as above", 2, NO_SCORES),
    "too few": (r"Scores: \boxed{8}", 2, WRONG_COUNT),
    "too many": (r"Scores: \boxed{8, 3, 5}", 2, WRONG_COUNT),
    "phantom response": (r"Scores: \boxed{8, 3}", 1, WRONG_COUNT),
    "empty box": (r"Scores: \boxed{}", 1, WRONG_COUNT),
    "blank box": (r"Scores: \boxed{ }", 2, WRONG_COUNT),
    "trailing comma": (r"Scores: \boxed{8, 3,}", 2, WRONG_COUNT),
    "two boxes, one response": (r"Scores: \boxed{8}, \boxed{3}", 1, WRONG_COUNT),
    "two boxes, three responses": (r"Scores: \boxed{8}, \boxed{3}", 3, WRONG_COUNT),
    "two boxes, one of words": (r"Scores: \boxed{8, 3} \boxed{x}", 2, WRONG_COUNT),
    "one box each, of decimals": (r"Scores: \boxed{8}, \boxed{3.5}", 2, NOT_INTEGER),
    "one box each, out of range": (r"Scores: \boxed{8}, \boxed{13}", 2, OUT_OF_RANGE),
    "two Scores blocks, none final": ("Scores: \\boxed{2, 9}\nNo, wait.\nScores: \\boxed{8, 3}", 2, AMBIGUOUS),
    "other scores below": ("Scores: \\boxed{2, 9}\nNo, \\boxed{8, 3}.", 2, AMBIGUOUS),
    "another order": (r"Scores (Response 2, Response 1): \boxed{8, 3}", 2, AMBIGUOUS),
    "two boxes, one of the right size": (r"Scores: \boxed{8, 3} or \boxed{3, 8}", 2, WRONG_COUNT),
    "last block of the wrong size": ("Scores: \\boxed{8, 3}\nScores: \\boxed{8}", 2, WRONG_COUNT),
    "semicolon": (r"Scores: \boxed{8; 3}", 2, WRONG_COUNT),
    "no separator": (r"Scores: \boxed{8 3}", 1, NOT_INTEGER),
    "missing between commas": (r"Scores: \boxed{8, , 3}", 3, NOT_INTEGER),
    "words": (r"Scores: \boxed{eight, three}", 2, NOT_INTEGER),
    "placeholder of the prompt": (r"Scores: \boxed{x, x}", 2, NOT_INTEGER),
    "last block with words": ("Scores: \\boxed{8, 3}\nScores: \\boxed{good, bad}", 2, NOT_INTEGER),
    "out of ten": (r"Scores: \boxed{8/10, 3/10}", 2, NOT_INTEGER),
    "labels": (r"Scores: \boxed{A: 8, B: 3}", 2, NOT_INTEGER),
    "brackets inside": (r"Scores: \boxed{[8, 3]}", 2, NOT_INTEGER),
    "braces inside": (r"Scores: \boxed{{8, 3}}", 2, NOT_INTEGER),
    "text command": (r"Scores: \boxed{\text{8, 3}}", 2, NOT_INTEGER),
    "bold inside": (r"Scores: \boxed{**8**, 3}", 2, NOT_INTEGER),
    "plus sign": (r"Scores: \boxed{+8, 3}", 2, NOT_INTEGER),
    "range": (r"Scores: \boxed{8-9, 3}", 2, NOT_INTEGER),
    "exponent": (r"Scores: \boxed{1e1, 3}", 2, NOT_INTEGER),
    "underscore in a number": (r"Scores: \boxed{1_0, 3}", 2, NOT_INTEGER),
    "not a number": (r"Scores: \boxed{nan, 3}", 2, NOT_INTEGER),
    "infinite": (r"Scores: \boxed{inf, 3}", 2, NOT_INTEGER),
    "other digits": ("Scores: \\boxed{٨, ٣}", 2, NOT_INTEGER),
    "superscript": ("Scores: \\boxed{8², 3}", 2, NOT_INTEGER),
    "zero-width space": ("Scores: \\boxed{8\u200b, 3}", 2, NOT_INTEGER),
    "decimal": (r"Scores: \boxed{7.5, 3}", 2, NOT_INTEGER),
    "whole decimal": (r"Scores: \boxed{7.0, 3}", 2, NOT_INTEGER),
    "decimal out of range": (r"Scores: \boxed{11.5, 3}", 2, NOT_INTEGER),
    "zero": (r"Scores: \boxed{0, 3}", 2, OUT_OF_RANGE),
    "eleven": (r"Scores: \boxed{11, 3}", 2, OUT_OF_RANGE),
    "hundred": (r"Scores: \boxed{80, 30}", 2, OUT_OF_RANGE),
    "negative": (r"Scores: \boxed{-1, 3}", 2, OUT_OF_RANGE),
    "last block out of range": ("Scores: \\boxed{8, 3}\nScores: \\boxed{8, 33}", 2, OUT_OF_RANGE),
    "more digits than int() takes": ("Scores: \\boxed{" + "9" * 5000 + ", 3}", 2, OUT_OF_RANGE),
}


@pytest.mark.parametrize(("text", "values"), VERDICTS.values(), ids=VERDICTS.keys())
def test_verdict(text: str, values: tuple[int, ...]) -> None:
    parsed = parse(Completion(text), len(values))

    assert isinstance(parsed, Scores), parsed
    assert parsed.values == values


@pytest.mark.parametrize(("text", "n", "reason"), LOST.values(), ids=LOST.keys())
def test_lost_vote(text: str, n: int, reason: UnparsedReason) -> None:
    completion = Completion(text, tokens=7)

    parsed = parse(completion, n)

    assert isinstance(parsed, Unparsed), parsed
    assert parsed.reason is reason
    assert (parsed.text, parsed.tokens) == (text, 7)
    assert len(parsed.detail) <= DETAIL_CHARS


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ("7.5, 3", (7.5, 3.0)),
        ("7.0, 10.0", (7.0, 10.0)),
        ("7, 3", (7.0, 3.0)),
        ("１．５, 3", (1.5, 3.0)),
        ("10.1, 3", OUT_OF_RANGE),
        ("0.9, 3", OUT_OF_RANGE),
        ("7., 3", NOT_INTEGER),
        (".5, 3", NOT_INTEGER),
        ("7.5.1, 3", NOT_INTEGER),
        ("7,5, 3", WRONG_COUNT),
    ],
)
def test_decimals_when_accepted(box: str, expected: tuple[float, ...] | UnparsedReason) -> None:
    parsed = parse(Completion(f"Scores: \\boxed{{{box}}}"), 2, decimals="accept")

    assert expected == (parsed.values if isinstance(parsed, Scores) else parsed.reason)


def test_detail_shows_what_was_found() -> None:
    def detail(text: str) -> str:
        parsed = parse(Completion(text), 2)
        assert isinstance(parsed, Unparsed)
        return parsed.detail

    assert "8, 3, 5" in detail(r"Scores: \boxed{8, 3, 5}")
    assert "7.5" in detail(r"Scores: \boxed{8, 7.5}")
    assert "11" in detail(r"Scores: \boxed{8, 11}")
    assert "both are fine" in detail("I think both are fine")


@pytest.mark.parametrize(
    ("text", "principles", "analysis"),
    [
        (ANALYSIS, "Correctness (60%), Tone (40%)", "Response 1 is right, Response 2 is rude."),
        ("### Specific Criteria\n* a\n* b\n\n### Analysis\n**R1** wins.\n", "* a\n* b", "**R1** wins."),
        ("**Specific Criteria:** a\n**Analysis:** b\n", "a", "b"),
        ("**Principles**：a\n**Analysis**：全角，b\n", "a", "全角，b"),
        ("Analysis: only this\n", "", "only this"),
        ("Specific Criteria: only this\n", "only this", ""),
        ("Analysis: b\nSpecific Criteria: a\n", "a", "b\nSpecific Criteria: a"),
        (
            "Specific Criteria: a\nAnalysis: b\nScores: \\boxed{1, 1}\nNo, wait.\nFinal ",
            "a",
            "b\nScores: \\boxed{1, 1}\nNo, wait.",
        ),
        ("<think>Analysis: draft</think>Analysis: b\n", "", "b"),
        ("", "", ""),
    ],
)
def test_sections(text: str, principles: str, analysis: str) -> None:
    parsed = parse(Completion(text + r"Scores: \boxed{8, 3}"), 2)

    assert isinstance(parsed, Scores)
    assert (parsed.principles, parsed.analysis) == (principles, analysis)
