"""Every field of inference as it goes over the wire; what each must do is in `fields`."""

import fields
import pytest
from asks import Curl


@pytest.mark.parametrize("name", ["weather", "clock"])
def test_a_named_tool_is_called(asks, name):
    fields.tools(asks, name, name)
    fields.tools(asks, {"type": "function", "function": {"name": name}}, name)


def test_a_required_tool_is_called(asks):
    fields.tools(asks, "required")


def test_tools_left_to_the_model(asks):
    fields.tools_left_to_the_model(asks)


def test_forbidden_tools_are_not_called(asks):
    fields.tools_forbidden(asks)


@pytest.mark.parametrize("choice, name", [("required", None), ("weather", "weather")])
def test_tools_streamed(asks, choice, name):
    fields.tools_streamed(asks, choice, name)


def test_a_tools_result_is_read(asks):
    fields.a_tools_result_is_read(asks)


def test_a_tool_that_is_not_there(asks):
    fields.a_tool_that_is_not_there(asks, "nothing")
    fields.a_tool_that_is_not_there(asks, {"type": "function", "function": {"name": "nothing"}})


def test_several_choices(asks):
    fields.several_choices(asks)


def test_as_many_choices_as_the_contract_has(asks):
    fields.as_many_choices_as_the_contract_has(asks)


def test_stops(asks):
    fields.stops(asks, "!", ["!"], ["can", "H", "?"])


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


def test_vectors(shell, embedder):
    fields.vectors(Curl(shell, embedder["id"]))
