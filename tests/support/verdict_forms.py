r"""Verdicts as GRMs write them, in words of our own: what each says, or None where nothing may be read off it.

Shared by the reader's tests and by the benchmark that counts what is read, lost and misread.
"""

from __future__ import annotations

from typing import NamedTuple


class Form(NamedTuple):
    """A completion on `n` responses, and its verdict; None where it has none, or none that can be told."""

    text: str
    verdict: tuple[float, ...] | None
    n: int = 2


_OPENING = "Specific Criteria: Correctness (60%), Tone (40%)\nAnalysis: Response 1 is right, Response 2 is rude.\n"
_DRAFT = "Scores: \\boxed{2, 9}\n"

PAPER = {
    "three lines": Form(f"{_OPENING}Scores: \\boxed{{8, 3}}", (8, 3)),
    "sections under headings": Form(
        "#### Specific Criteria:\n1. **Accuracy (40%)**: facts.\n2. **Clarity (60%)**: words.\n\n"
        "#### Analysis:\n- **Response 1**: sound.\n- **Response 2**: vague.\n\n#### Scores:\n\\\\boxed{8, 6}",
        (8, 6),
    ),
    "scores per criterion, then the sum": Form(
        "### Analysis:\n**Accuracy (50%)**: Response 1: 9, Response 2: 5\n"
        "**Clarity (50%)**: Response 1: 7, Response 2: 5\n"
        "### Weighted scores:\n- Response 1: 0.5 * 9 + 0.5 * 7 = 8\n- Response 2: 0.5 * 5 + 0.5 * 5 = 5\n"
        "### Scores:\n$$\\boxed{8, 5}$$",
        (8, 5),
    ),
    "a section of scores, then the output": Form(
        "### Specific Criteria:\n- Depth (50%)\n- Tone (50%)\n\n"
        "### Scores:\n#### Response 1\n- **Depth**: 10\n- **Tone**: 9\n- **Overall Score**: 10\n"
        "#### Response 2\n- **Depth**: 6\n- **Tone**: 8\n- **Overall Score**: 7\n\n"
        "### Output: \\boxed{10, 7}",
        (10, 7),
    ),
    "two blocks of scores, the second comprehensive": Form(
        f"{_OPENING}**Scores**\nDepth: 7 and 5. Tone: 9 and 7.\n\n**Comprehensive Scores**: \\boxed{{8, 6}}", (8, 6)
    ),
    "one box each": Form(f"{_OPENING}Scores: \\boxed{{8}}, \\boxed{{6}}", (8, 6)),
    "one box each, with names": Form("Scores: Response 1: \\boxed{8}; Response 2: \\boxed{6}", (8, 6)),
    "one box each, and a word": Form("**Scores:** $\\boxed{8}$ and $\\boxed{6}$", (8, 6)),
    "one box each in a table": Form("| Scores | \\boxed{8} | \\boxed{6} |", (8, 6)),
    "one box each of four": Form("Scores: \\boxed{8}, \\boxed{6}, \\boxed{1}, \\boxed{10}", (8, 6, 1, 10), 4),
    "comprehensive": Form(f"{_OPENING}Comprehensive Scores: \\boxed{{8, 6}}", (8, 6)),
    "tags": Form("<analysis>\nBoth work.\n</analysis>\n<scores>\\boxed{8, 5}</scores>", (8, 5)),
    "tags on lines of their own": Form("<scores>\n\\boxed{8, 5}\n</scores>", (8, 5)),
    "named in the order shown": Form("Scores (Response 1, Response 2): \\boxed{5, 9}", (5, 9)),
    "output, and then the same scores": Form("### Output: \\boxed{10, 7}\nScores: \\boxed{10, 7}", (10, 7)),
}
"""The five outputs that arXiv 2504.02495 prints (p. 34-40) by their structure, and other turns of the same GRM."""

REVISED = {
    f"{heading!r}": Form(f"{_DRAFT}On a second look the order was swapped.\n{heading} \\boxed{{8, 3}}", (8, 3))
    for heading in (
        *("Revised scores:", "Corrected Scores:", "Adjusted final scores:", "Final verdict:", "The final scores are"),
        *("Scores after verification:", "**Updated Scores:**", "### Re-evaluated scores\n", "Scores (final):"),
        *("Final scores (after checking):", "Overall Scores =", "Total score:", "Weighted scores:", "Verified Scores:"),
        *("So, my final scores:", "Therefore the corrected scores are:", "## Final Verdict\nScores:", "Output:"),
        *("On reflection:\nScores:", "### Final Answer\n\n**Scores:**", "Overall evaluation:", "Final rating:"),
        *("最终评分：", "修正后的评分：", "综合得分：", "总分：", "【最终评分】"),
        *("<final_scores>", "<verdict>", "[Final Scores]"),
    )
} | {
    "said once more": Form(f"{_DRAFT}In short:\nScores: \\boxed{{2, 9}}", (2, 9)),
    "said once more, as final": Form(f"{_DRAFT}Final scores: \\boxed{{2, 9}}", (2, 9)),
    "several drafts": Form(f"{_DRAFT}Scores: \\boxed{{9, 2}}\nFinal scores: \\boxed{{8, 3}}", (8, 3)),
    "a draft called final": Form("Final scores: \\boxed{2, 9}\nWait.\nRevised scores: \\boxed{8, 3}", (8, 3)),
    "another length below": Form(f"{_DRAFT}The best one is \\boxed{{2}}.", (2, 9)),
    "another length under a verdict's heading": Form(f"{_DRAFT}Final verdict: \\boxed{{2}}", (2, 9)),
    "a quoted line below": Form(f"{_DRAFT}It ended with\n> Final scores: \\boxed{{8, 3}}", (2, 9)),
    "words below": Form(f"{_DRAFT}Overall: Response 2 is better.\nFinal verdict: Response 2", (2, 9)),
    "an answer below the score of one": Form("Score: \\boxed{7}\nThe right answer is \\boxed{42}.", (7,), 1),
    "a placeholder below": Form(f"{_DRAFT}The format was \\boxed{{x, x}}.", (2, 9)),
}  # fmt: skip
"""The verdict that stands below a draft and is marked final; and what stands below a verdict without replacing it."""

UNCLEAR = {
    name: Form(f"{_OPENING}{text}", None)
    for name, text in {
        "two, none marked": f"{_DRAFT}Hmm.\nScores: \\boxed{{8, 3}}",
        "per part, none marked": "Style\nScores: \\boxed{2, 9}\nFacts\nScores: \\boxed{8, 3}",
        "final, and another below": "Final scores: \\boxed{2, 9}\nScores: \\boxed{8, 3}",
        "another box in prose": f"{_DRAFT}No, it is \\boxed{{8, 3}}.",
        "another box alone": f"{_DRAFT}\\boxed{{8, 3}}",
        "other boxes of one": f"{_DRAFT}Rather \\boxed{{8}} and \\boxed{{3}}.",
        "another box of decimals": f"{_DRAFT}Rather \\boxed{{7.5, 3}}.",
        "a list in brackets": f"{_DRAFT}[[8, 3]]",
        "scores in JSON": f'{_DRAFT}```json\n{{"scores": [8, 3]}}\n```',
        "final numbers without a colon": f"{_DRAFT}Final scores → 8, 3",
        "another box out of range": f"{_DRAFT}Rather \\boxed{{80, 30}}.",
        "a box under an unknown heading": f"{_DRAFT}Scores once the order is put right: \\boxed{{8, 3}}",
        "a final heading that is not understood": f"{_DRAFT}Final scores once swapped: 8, 3",
        "final numbers without a box": f"{_DRAFT}Corrected: 8 and 3",
        "a final verdict in numbers": f"{_DRAFT}Final verdict: 8/10 to 3/10",
        "final scores without a box": f"{_DRAFT}Revised scores: 8, 3",
        "final scores in brackets": f"{_DRAFT}Final scores: [8, 3]",
        "final scores that are broken": f"{_DRAFT}Final scores: \\boxed{{8, 33}}",
        "final scores of another length": f"{_DRAFT}Final scores: \\boxed{{8}}",
        "a verdict of decimals": f"{_DRAFT}Final verdict: \\boxed{{7.5, 3}}",
        "a draft alone": "Scores (before verification): \\boxed{2, 9}",
        "a draft alone, initial": "Initial scores: \\boxed{2, 9}",
        "one criterion, final": "Final scores for tone: \\boxed{2, 9}",
        "an answer": "Final answer: \\boxed{2, 9}",
        "a last line without a heading": "\\boxed{8, 6}",
        "either or": "Scores: \\boxed{8} or \\boxed{3}",
        "brackets": "Scores: [8, 6]",
    }.items()
}
"""No vote: more than one verdict may be meant, or none."""

OTHER_ORDER = {
    text: Form(text, None, n)
    for text, n in {
        "Scores (Response 2, Response 1): \\boxed{5, 9}": 2,
        "Scores (Responses 2 and 1): \\boxed{5, 9}": 2,
        "**Scores** (Response B / Response A): \\boxed{5, 9}": 2,
        "Scores (B, A): \\boxed{5, 9}": 2,
        "Scores (2, 1): \\boxed{5, 9}": 2,
        "Scores (R2, R1): \\boxed{5, 9}": 2,
        "Scores (second, first): \\boxed{5, 9}": 2,
        "Scores (Response 2 first): \\boxed{5, 9}": 2,
        "Scores (in reverse order): \\boxed{5, 9}": 2,
        "Scores (response two, response one): \\boxed{5, 9}": 2,
        "评分（回答二、回答一）：\\boxed{5, 9}": 2,
        "Order: Response 2, Response 1\n\nScores: \\boxed{5, 9}": 2,
        "| Response 2 | Response 1 |\n|---|---|\n| Scores: \\boxed{5} | \\boxed{9} |": 2,
        "Scores (best first): \\boxed{9, 5}": 2,
        "Scores (ranked): \\boxed{9, 5}": 2,
        "Scores: Response 2, Response 1: \\boxed{5, 9}": 2,
        "Scores: Response 2: \\boxed{5}, Response 1: \\boxed{9}": 2,
        "Scores: B, A: \\boxed{5, 9}": 2,
        "Scores: \\boxed{5, 9} (Response 2, Response 1)": 2,
        "Scores: \\boxed{5, 9}\n(Response 2, Response 1)": 2,
        "Scores: \\boxed{5, 9} (reversed)": 2,
        "### Scores (Response 2, Response 1)\n\\boxed{5, 9}": 2,
        "### Scores (Response 2, Response 1)\n**Scores:** \\boxed{5, 9}": 2,
        "Final Scores (Assistant B, Assistant A): \\boxed{5, 9}": 2,
        "评分（回答2，回答1）：\\boxed{5，9}": 2,
        "Scores (Response 1, Response 3, Response 2): \\boxed{5, 9, 1}": 3,
        "Score (Response 2): \\boxed{5}": 1,
    }.items()
} | {
    text: Form(text, (5, 9))
    for text in (
        "Scores (Responses 1 and 2): \\boxed{5, 9}",
        "Scores (A, B): \\boxed{5, 9}",
        "| Response 1 | Response 2 |\n|---|---|\n| Scores: \\boxed{5} | \\boxed{9} |",
        "Response 2 is better than Response 1.\nScores: \\boxed{5, 9}",
        "Scores (in original order): \\boxed{5, 9}",
        "Scores (1-10): \\boxed{5, 9}",
        "Scores (10 = best, 1 = worst): \\boxed{5, 9}",
        "Scores (out of 10): \\boxed{5, 9}",
        "Scores: 5 and 9, so \\boxed{5, 9}",
        "Scores: \\boxed{5, 9}. Response 2 is the better one.",
    )
}
"""The responses are named in another order than shown; then remarks that say no such thing."""

USERS = {
    **{
        f"{heading!r}": Form(f"{_OPENING}{heading}\\boxed{{8, 6}}", (8, 6))
        for heading in (
            *(
                "评分：",
                "得分：",
                "分数: ",
                "打分：",
                "综合评分：",
                "最终评分：",
                "总分：",
                "最终得分为：",
                "各回答的评分：",
                "**评分**：\n",
            ),
            *(
                "### 最终评分\n",
                "【评分】",
                "（1）评分：",
                "一、评分：",
                "总体评分（满分10分）：",
                "加权总分 = ",
                "最终评价：",
            ),
            *(
                "\u3000Scores: ",
                "\u00a0\u00a0Scores: ",
                "Scores:\u00a0",
                "\ufeffScores: ",
                "⭐ Scores: ",
                "🏆 **Scores:** ",
            ),
            *("– Scores: ", "— Scores: ", "→ Scores: ", "✅ Final Scores: ", "• Scores: ", "Scores – ", "Scores -> "),
            *(
                "<b>Scores:</b> ",
                "<strong>Scores</strong>: ",
                "<answer>Scores: ",
                "<answer>\nScores: ",
                "<h3>Scores</h3>\n",
            ),
            *("<div><b>Scores</b></div> ", "[Scores] ", "[Scores]: ", "== Scores ==\n", "`Scores:` ", "(3) Scores: "),
        )
    },
    "a row of a table": Form(f"{_OPENING}| Scores | \\boxed{{8, 6}} |", (8, 6)),
    "full-width box": Form("评分：\\boxed{８，６}", (8, 6)),
    "Chinese, whole": Form("具体标准：准确性（60%）\n分析：回答1更好。\n评分：\\boxed{8，6}", (8, 6)),
    "Chinese, per criterion": Form("各项评分：\\boxed{8，6}", None),
    "Chinese, the scale": Form("评分标准：\\boxed{1，10}", None),
    "Chinese, draft and final": Form("初步评分：\\boxed{2，9}\n最终评分：\\boxed{8，6}", (8, 6)),
    "quoted in Chinese": Form("「评分：\\boxed{8，6}」", None),
}
"""Headings of people who use GRMs in other languages, markup and templates."""

FORMS = {"paper": PAPER, "revised": REVISED, "unclear": UNCLEAR, "order": OTHER_ORDER, "users": USERS}
