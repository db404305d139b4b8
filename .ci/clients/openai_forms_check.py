"""The rest of OpenAI's API, by the official Python client, against a model whose answers are known (`make_model.py`)."""

import base64
import json
import os
import struct
from typing import Literal

import checks
import openai
from pydantic import BaseModel

ROUTE = os.environ["LOOPWRIGHT_ROUTE"]
ANSWER = "Sure, thing!"
QUESTION = [{"role": "user", "content": "Do you help?"}]
client = openai.OpenAI(max_retries=0, timeout=60)


class Ticket(BaseModel):
    kind: Literal["parcel", "card"]
    note: str
    urgent: bool


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def chat(**fields):
    return client.chat.completions.create(model=ROUTE, messages=QUESTION, **fields)


def an_answer_ends_by_itself():
    choice = chat().choices[0]
    assert (choice.message.content, choice.finish_reason) == (ANSWER, "stop"), choice


def stop_texts_end_it_before():
    choice = chat(stop=[", "]).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Sure", "stop"), choice


def several_answers_come_at_once():
    answer = chat(n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert all(choice.message.content == ANSWER for choice in answer.choices), answer
    chunks = list(chat(n=2, stream=True))
    for index in range(2):
        parts = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert "".join(part.delta.content or "" for part in parts) == ANSWER, parts


def log_probabilities_have_alternatives():
    content = chat(logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert "".join(token.token for token in content[: len(ANSWER)]) == ANSWER, content
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in content), content
    assert content[0].top_logprobs[0].token == "S" and bytes(content[0].bytes) == b"S"


def biases_and_penalties_change_the_answer():
    first = client.completions.create(model=ROUTE, prompt="x", max_tokens=1, logprobs=1).choices[0].text
    assert first == "S", first
    ids = client.post("/../tokenize", body={"model": ROUTE, "prompt": "S"}, cast_to=object)["tokens"]
    text = chat(logit_bias={str(ids[0]): -100}).choices[0].message.content
    assert not text.startswith("S"), text


def a_schema_is_always_kept():
    answer = client.chat.completions.parse(model=ROUTE, messages=QUESTION, response_format=Ticket)
    ticket = answer.choices[0].message.parsed
    assert isinstance(ticket, Ticket) and ticket.note == ANSWER, ticket


def json_mode_gives_json():
    text = chat(response_format={"type": "json_object"}).choices[0].message.content
    assert isinstance(json.loads(text), dict), text


def a_required_call_is_made():
    choice = chat(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None, choice
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": ANSWER}, call


def a_named_call_is_streamed_in_parts():
    named = {"type": "function", "function": {"name": "get_weather"}}
    with client.chat.completions.stream(model=ROUTE, messages=QUESTION, tools=[WEATHER], tool_choice=named) as stream:
        kinds = [event.type for event in stream]
        choice = stream.get_final_completion().choices[0]
    assert "tool_calls.function.arguments.delta" in kinds and "tool_calls.function.arguments.done" in kinds, kinds
    assert choice.finish_reason == "tool_calls", choice
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": ANSWER}


def a_free_model_may_just_answer():
    choice = chat(tools=[WEATHER]).choices[0]
    assert (choice.message.content, choice.finish_reason, choice.message.tool_calls) == (ANSWER, "stop", None), choice


def results_of_calls_are_read():
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    messages = QUESTION + [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    answer = client.chat.completions.create(model=ROUTE, messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content == ANSWER


def completions_continue_texts_and_tokens():
    answer = client.completions.create(model=ROUTE, prompt=["a", "b"], max_tokens=50, n=2)
    assert [choice.text for choice in answer.choices] == [ANSWER] * 4, answer
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(model=ROUTE, prompt="a", stream=True))
    assert text == ANSWER, text


def a_prompt_is_scored_as_benchmarks_ask():
    answer = client.completions.create(model=ROUTE, prompt=[[1, 2, 3]], max_tokens=1, echo=True, logprobs=1, temperature=0)
    scores = answer.choices[0].logprobs
    assert scores.token_logprobs[0] is None and len(scores.tokens) == len(scores.top_logprobs) >= 3, scores
    assert all(score < 0 for score in scores.token_logprobs[1:3]), scores


def embeddings_are_floats_or_base64():
    texts = ["a parcel", "a card"]
    answer = client.embeddings.create(model=ROUTE, input=texts)  # The client itself asks for base64.
    assert len(answer.data) == 2 and answer.usage.total_tokens > 0
    floats = client.embeddings.create(model=ROUTE, input=texts, encoding_format="float").data[1].embedding
    assert max(abs(a - b) for a, b in zip(floats, answer.data[1].embedding)) < 1e-6
    short = client.embeddings.create(model=ROUTE, input=texts, dimensions=8).data[0].embedding
    assert len(short) == 8 and abs(sum(x * x for x in short) - 1) < 1e-3, short
    raw = client.embeddings.with_raw_response.create(model=ROUTE, input="x", encoding_format="base64").http_response.json()
    data = base64.b64decode(raw["data"][0]["embedding"])
    assert len(struct.unpack(f"<{len(data) // 4}f", data)) == len(floats)


def responses_answer():
    response = client.responses.create(model=ROUTE, instructions="Be brief.", input="Do you help?")
    assert (response.output_text, response.status) == (ANSWER, "completed"), response
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def responses_stream():
    with client.responses.stream(model=ROUTE, input=[{"role": "user", "content": "Do you help?"}]) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == ANSWER == final.output_text, (text, final)


def responses_keep_schemas_and_call_tools():
    parsed = client.responses.parse(model=ROUTE, input="x", text_format=Ticket).output_parsed
    assert isinstance(parsed, Ticket), parsed
    tool = {"type": "function", **WEATHER["function"]}
    response = client.responses.create(model=ROUTE, input="x", tools=[tool], tool_choice="required", parallel_tool_calls=False)
    (call,) = response.output
    assert call.type == "function_call" and json.loads(call.arguments) == {"city": ANSWER}, call
    items = ["x", call, {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    items[0] = {"role": "user", "content": "x"}
    items[1] = call.model_dump(exclude_none=True)
    assert client.responses.create(model=ROUTE, input=items, tools=[tool]).output_text == ANSWER


CHECKS = [
    an_answer_ends_by_itself,
    stop_texts_end_it_before,
    several_answers_come_at_once,
    log_probabilities_have_alternatives,
    biases_and_penalties_change_the_answer,
    a_schema_is_always_kept,
    json_mode_gives_json,
    a_required_call_is_made,
    a_named_call_is_streamed_in_parts,
    a_free_model_may_just_answer,
    results_of_calls_are_read,
    completions_continue_texts_and_tokens,
    a_prompt_is_scored_as_benchmarks_ask,
    embeddings_are_floats_or_base64,
    responses_answer,
    responses_stream,
    responses_keep_schemas_and_call_tools,
]

if __name__ == "__main__":
    checks.run(f"openai {openai.__version__}, all of the API, against {client.base_url}", CHECKS)
