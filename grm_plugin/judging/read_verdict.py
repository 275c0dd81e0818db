"""Reads which of two responses a judge prefers: `[[A]]`, `[[B>>A]]`, `<answer>[[A]]</answer>`, `[RESULT] B`, `[[C]]`.

The winner gets 10 and the other 1; a tie is 5.5 for both. A and B are the responses in the order shown.

- `<answer>` and `[RESULT]` mark a verdict as the final one, wherever it stands. Else it is `[[...]]` or a line such as
  `Verdict: A`; or the whole answer is nothing but the name of a response.
- It ends its line. `[[...]]` has the line for itself, begins a sentence, or follows words of judging ("A is slightly
  better: [[A>B]]"); behind words of quoting ("Response B says: [[B]]") it is none.
- A line such as `Best answer: A` is none: judges that solve the task first name its options so.
- `[[A>B]]` and `[[A>>B]]` in one answer differ: it says two things.
"""

from __future__ import annotations

import re

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.answer_text import NoVote, end_of
from grm_plugin.judging.own_words import clause_before, reports, without_quotes
from grm_plugin.judging.sightings import ASCII_TWINS, FINAL, LINE_END, MENTIONED, WRITTEN, Sighting, final_of, places
from grm_plugin.types import MAX_SCORE, MIN_SCORE, UnparsedReason

A_WINS = (float(MAX_SCORE), float(MIN_SCORE))
B_WINS = (float(MIN_SCORE), float(MAX_SCORE))
TIE = ((MIN_SCORE + MAX_SCORE) / 2,) * 2

_NOUN = r"(?: (?: the\ )?+ (?: assistant | response | answer | chatbot | model | candidate | option | output )\ )"
_TIE = r"(?: a\ )?+ (?: tie[d]? | draw | equal | equally\ good | same | both ) \b"
_NAME = rf"(?: {_TIE} | {_NOUN}?+ \(?+ [AB] \)?+ (?! \w ) | {_NOUN} \(?+ [12] \)?+ (?! \w ) )"
_WINS = r"""
    (?: \ (?: wins | is\ (?: (?:slightly|much|significantly|clearly)\ )?+ (?:the\ )?+ (?:better|best|winner|preferred)
        (?: \ (?:response|answer|one|assistant|chatbot) )?+ ) )?+
"""
_SIGNS = r"[ \t\r#*_`>\-•]*+"
_NAMED = r"""
    (?: (?: final | overall | my | the | so | therefore | thus ) ,?+ \  )*+
    (?: verdict | result | winner | decision | judge?ment | preference | final | revised | corrected | updated
      | (?: better | preferred | winning ) \ (?: response | assistant | chatbot ) )
"""
_PLACES = re.compile(
    rf"""
    < answer > \s*+ [\[(*]*+ \s*+ (?P<in_answer> [^<>\n\[\]]{{1,40}}?) \s*+ [\])*]*+ \s*+ </ answer > {LINE_END}
  | \[ (?: final\ )?+ (?: result | verdict ) \s*+ [:\]] [:\]\s]*+ [\[(*]*+
      (?P<after_result> {_NAME} ) {_WINS} {LINE_END}
  | (?P<mark> \[ (?: final\ )?+ (?: result | verdict ) \] | < answer > )
  | \[\[ \s*+ (?P<in_brackets> [^\[\]\n]{{1,40}}?) \s*+ \]\]
  | ^ {_SIGNS} {_NAMED} (?: [*_`]*+ \ (?:is|goes\ to)\b :?+ | [ *_`]*+ (?: [:=] | $ ) )
      (?! [\s*_`(]*+ \[\[ ) [\s*_`\[(]*+ (?P<after_name> {_NAME} ) {_WINS} (?P<ends> {LINE_END} )?+
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_AT_END = re.compile(LINE_END, re.VERBOSE)
_ALONE = re.compile(rf"[\s*_`\"'(\[]*+ (?P<name> {_NAME} ) [\s*_`\"'.)\]!]*+", re.VERBOSE | re.IGNORECASE)
_JUDGING = re.compile(
    r"""
    \b (?: verdict | winner | wins | better | best | worse | tied? | same | equal(?:ly)? | prefer\w* | choose | choice
        | pick | select\w* | decision | decide\w* | judge?ment | conclu\w+ | answer\ is | result | rate | superior
        | final\ (?: answer | choice | output ) ) \b
    | 判断 | 结论 | 更好 | 选择 | 结果 | 胜 | 平局
    """,
    re.VERBOSE | re.IGNORECASE,
)
_INTRODUCES = re.compile(
    r"""[\s*_`\#\-•"'“(]*+ (?: (?: so | thus | hence | therefore | finally ) ,?+ [\s*_`]*+ )?+
    (?: (?: my\  | the\  )?+ (?: final\  )?+ (?: answer | choice | output ) [\s*_`]*+ (?: : | \ is\b :?+ )
      [\s*_`"'(]*+ )?+""",
    re.VERBOSE | re.IGNORECASE,
)
_IN_MARKS = re.compile(r"\s*+(?:\[\[[^\[\]\n]{1,40}\]\]|[AB])\s*+")
_WORDS = {"a": A_WINS, "b": B_WINS, "1": A_WINS, "2": B_WINS} | dict.fromkeys(
    ("c", "a=b", "b=a", "tie", "tied", "draw", "equal", "equallygood", "same", "both"), TIE
)
_COMPARED = re.compile(r"([ab])(>{1,3}|<{1,3})([ab])")


def read_verdict(answer: str, n: int, judge: JudgeConfig) -> tuple[tuple[float, ...], int, int]:
    """The two scores, 1..10 whatever `judge.scale` says, where the verdict begins, and where it ends.

    Raises:
        NoVote: there is none, or it is not of two responses.
    """
    if n != 2:
        raise NoVote(UnparsedReason.WRONG_COUNT, f"a verdict on two responses, but {n} were shown: {end_of(answer)}")
    text = without_quotes(answer, keep=_IN_MARKS).translate(ASCII_TWINS)
    whole = _ALONE.fullmatch(text)
    if whole:
        scores, _ = _meaning(whole["name"])
        return _known(scores, whole["name"]), 0, len(text)
    found = [sighting for place in places(_PLACES, text) for sighting in _seen(text, place)]
    final = final_of(found, answer)
    return _known(final.said, ""), final.at, final.end


def _seen(text: str, place: re.Match[str]) -> list[Sighting]:
    said = place["in_answer"] or place["after_result"] or place["in_brackets"] or place["after_name"]
    ends = not place["in_brackets"] or _AT_END.match(text, place.end()) is not None
    clause = clause_before(text, place.start()) if ends else ""
    if not ends or reports(clause):
        rank = MENTIONED
    elif place["in_answer"] or place["after_result"]:
        rank = FINAL
    elif place["after_name"]:
        rank = WRITTEN
        if place["ends"] is None:  # "Verdict: A or B"
            return [_broken(place.start(), place[0], rank)]
    elif place["in_brackets"]:
        stands = _INTRODUCES.fullmatch(clause) or (_JUDGING.search(clause) and "[[" not in clause)
        rank = WRITTEN if stands else MENTIONED
    else:  # a mark of the final verdict, and nothing that is one
        return [_broken(place.start(), text[place.start() : place.start() + 40], FINAL)]
    scores, strength = _meaning(said)
    if scores is not None:
        return [Sighting(place.start(), scores, rank, end=place.end(), strength=strength)]
    return [_broken(place.start(), said, rank)] if rank else []


def _broken(at: int, said: str, rank: int) -> Sighting:
    return Sighting(at, None, rank, NoVote(UnparsedReason.NO_SCORES, f"no verdict on A and B: {said}"))


def _meaning(said: str) -> tuple[tuple[float, float] | None, str]:
    """The scores and how strongly they were put; None for words that are no verdict."""
    words = re.sub(rf"{_NOUN} | ^a\ (?=[td]) | [\s()*_`\"'.]", "", said.casefold(), flags=re.VERBOSE)
    compared = _COMPARED.fullmatch(words)
    if compared is None or compared[1] == compared[3]:
        return _WORDS.get(words), ""
    winner = compared[1] if compared[2].startswith(">") else compared[3]
    return _WORDS[winner], "more" * len(compared[2])


def _known(scores: tuple[float, ...] | None, said: str) -> tuple[float, ...]:
    if scores is None:
        raise NoVote(UnparsedReason.NO_SCORES, f"no verdict on A and B: {said}")
    return scores
