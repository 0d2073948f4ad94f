"""Text with places for values."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivoice.templates import TemplateError, parse


@pytest.mark.parametrize(
    ("text", "names", "filled"),
    [
        ("", (), ""),
        ("plain", (), "plain"),
        ("{a}", ("a",), "x y"),
        ("{{a}}", (), "{a}"),
        ("{{{a}}}", ("a",), "{x y}"),
        ("{a}{b}{a:url}", ("a", "b", "a"), "x y3x%20y"),
        ('{{"n": {b:json}, "s": {a:json}}}', ("b", "a"), '{"n": 3, "s": "x y"}'),
        ("-{c}-", ("c",), "--"),
    ],
)
def test_a_template_is_its_text_with_the_values_in_their_places(
    text: str, names: tuple[str, ...], filled: str
):
    template = parse(text)

    assert template.names == names
    assert template.filled({"a": "x y", "b": 3.0}) == filled


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "the { in '{' stands alone; write {{"),
        ("a}", "the } in 'a}' stands alone; write }}"),
        ("{}", "stands alone"),
        ("{a b}", "stands alone"),
        ('{"a": 1}', "stands alone"),
        ("{a:html}", "{a:html} is no place; write {a}, {a:url} or {a:json}"),
        ("{a:}", "is no place"),
    ],
)
def test_what_is_no_template_says_what_to_write(text: str, said: str):
    with pytest.raises(TemplateError) as caught:
        parse(text)

    assert said in str(caught.value)


@given(st.text(), st.one_of(st.text(), st.booleans(), st.integers(), st.none(), st.lists(st.text())))
def test_whatever_text_and_value_are_both_come_through(text: str, value: object):
    around = text.replace("{", "{{").replace("}", "}}")

    filled = parse(f"{around}{{a:json}}{around}").filled({"a": value})

    assert json.loads(filled.removeprefix(text).removesuffix(text) if text else filled) == value
    assert isinstance(value, str) <= (unquote(parse("{a:url}").filled({"a": value})) == value)
