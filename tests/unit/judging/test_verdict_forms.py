"""The reader on the forms that verdicts take: each is read as what it says, or is a missing vote."""

from __future__ import annotations

import pytest

from grm_plugin.judging.parsing import parse
from grm_plugin.types import Completion, Scores
from support.verdict_forms import FORMS, Form


@pytest.mark.parametrize(
    "form",
    [pytest.param(form, id=f"{group}: {name}") for group, forms in FORMS.items() for name, form in forms.items()],
)
def test_a_form_is_read_as_what_it_says(form: Form) -> None:
    parsed = parse(Completion(form.text), form.n)
    assert (parsed.values if isinstance(parsed, Scores) else None) == form.verdict
