"""Anthropic's official Python client against a model whose answers are known (`make_model.py`)."""

import os

import anthropic
import checks

ROUTE = os.environ["LOOPWRIGHT_ROUTE"]
ANSWER = "Sure, thing!"
QUESTION = [{"role": "user", "content": "Do you help?"}]
client = anthropic.Anthropic(max_retries=0, timeout=60)
WEATHER = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def create(**fields):
    return client.messages.create(**{"model": ROUTE, "max_tokens": 200, "messages": QUESTION, **fields})


def refused(error, call):
    try:
        call()
    except error as refusal:
        return refusal
    raise AssertionError(f"expected {error.__name__}, got an answer")


def a_message_is_answered():
    message = create(system="Be brief.")
    assert (message.content[0].text, message.stop_reason, message.role) == (ANSWER, "end_turn", "assistant"), message
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0, message.usage


def max_tokens_ends_it():
    message = create(max_tokens=2)
    assert (message.content[0].text, message.stop_reason) == ("Su", "max_tokens"), message


def stop_sequences_end_it():
    assert create(stop_sequences=[","]).content[0].text == "Sure"


def a_stream_adds_up():
    with client.messages.stream(model=ROUTE, max_tokens=200, messages=QUESTION) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == ANSWER == final.content[0].text, final
    assert final.usage.output_tokens > 0 and final.stop_reason == "end_turn", final


def tools_are_called_and_their_results_read():
    choice = {"type": "any", "disable_parallel_tool_use": True}
    message = create(tools=[WEATHER], tool_choice=choice)
    (call,) = message.content
    assert (call.type, call.name, call.input) == ("tool_use", "get_weather", {"city": ANSWER}), call
    assert message.stop_reason == "tool_use", message
    with client.messages.stream(
        model=ROUTE, max_tokens=200, messages=QUESTION, tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}
    ) as stream:
        assert stream.get_final_message().content[0].input == {"city": ANSWER}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    messages = QUESTION + [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    assert create(messages=messages, tools=[WEATHER]).content[0].text == ANSWER


def tokens_are_counted():
    n = client.messages.count_tokens(model=ROUTE, messages=QUESTION).input_tokens
    used = create().usage
    # What was read from kept pages is told apart, as Anthropic does.
    assert n == used.input_tokens + (used.cache_read_input_tokens or 0), (n, used)


def errors_are_anthropics_own():
    stranger = anthropic.Anthropic(api_key="lw-not-a-key", max_retries=0)
    refused(anthropic.AuthenticationError, lambda: stranger.messages.create(model=ROUTE, max_tokens=9, messages=QUESTION))
    error = refused(anthropic.NotFoundError, lambda: create(model="no-such-route"))
    assert error.body["error"]["type"] == "not_found_error", error.body
    refused(anthropic.BadRequestError, lambda: create(messages=[]))
    refused(anthropic.BadRequestError, lambda: create(messages=[{"role": "user", "content": "long " * 20_000}]))


CHECKS = [
    a_message_is_answered,
    max_tokens_ends_it,
    stop_sequences_end_it,
    a_stream_adds_up,
    tools_are_called_and_their_results_read,
    tokens_are_counted,
    errors_are_anthropics_own,
]

if __name__ == "__main__":
    checks.run(f"anthropic {anthropic.__version__} against {client.base_url}", CHECKS)
