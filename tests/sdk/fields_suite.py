"""The tests of every field of inference, for a suite to take whole: `from fields_suite import *`.

The suite's fixture `asks` is its client; what that client's types do not let through stands in its `lacks`. What each
field must do is in `fields`.
"""

import fields
import pytest


def by_name(name):
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize("name", ["weather", "clock"])
def test_a_named_tool_is_called(asks, name):
    if "tool_choice by name" not in asks.lacks:
        fields.tools(asks, name, name)
    fields.tools(asks, by_name(name), name)


def test_a_required_tool_is_called(asks):
    fields.tools(asks, "required")


def test_tools_left_to_the_model(asks):
    fields.tools_left_to_the_model(asks)


def test_forbidden_tools_are_not_called(asks):
    if "tool_choice none" in asks.lacks:
        pytest.skip("its types do not let `none` through")
    fields.tools_forbidden(asks)


def test_tools_streamed(asks):
    fields.tools_streamed(asks, "required", None)
    choice = by_name("weather") if "tool_choice by name" in asks.lacks else "weather"
    fields.tools_streamed(asks, choice, "weather")


def test_a_tools_result_is_read(asks):
    fields.a_tools_result_is_read(asks)


def test_a_tool_that_is_not_there(asks):
    if "tool_choice by name" not in asks.lacks:
        fields.a_tool_that_is_not_there(asks, "nothing")
    fields.a_tool_that_is_not_there(asks, by_name("nothing"))


def test_several_choices(asks):
    fields.several_choices(asks)


def test_as_many_choices_as_the_contract_has(asks):
    fields.as_many_choices_as_the_contract_has(asks)


def test_stops(asks):
    one = [] if "stop as text" in asks.lacks else ["!"]
    fields.stops(asks, *one, ["!"], ["can", "H", "?"])


def test_a_seed_repeats_its_text(asks):
    fields.a_seed_repeats_its_text(asks)


def test_penalties(asks):
    fields.penalties(asks, "presence_penalty", "frequency_penalty", "repetition_penalty")


def test_a_banned_token(asks):
    fields.a_banned_token(asks)


@pytest.mark.parametrize("form", fields.FORMS_OF_A_SCHEMA.values(), ids=fields.FORMS_OF_A_SCHEMA)
def test_a_schema_is_kept_to(asks, form):
    fields.form(asks, form)


def test_the_other_forms_of_an_answer(asks):
    if "response_format text" not in asks.lacks:
        fields.form_text(asks)
    fields.form_object(asks)
    fields.form_pattern(asks)
    fields.form_unknown(asks)


def test_logprobs_are_numbers(asks):
    fields.logprobs(asks)


def test_candidates(asks):
    fields.candidates(asks)


def test_longer_than_the_context(asks):
    fields.longer_than_the_context(asks)


def test_too_long_a_prompt(asks):
    fields.too_long_a_prompt(asks)


def test_no_messages(asks):
    fields.no_messages(asks)


def test_parts(asks):
    fields.parts(asks)


def test_a_field_that_can_not_be_honoured(asks):
    fields.what_can_not_be_honoured(asks, fields.CAN_NOT_BE_HONOURED)


def test_vectors(asks, embedder):
    fields.vectors(type(asks)(asks.client, embedder["id"]))
