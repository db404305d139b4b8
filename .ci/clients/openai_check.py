"""Lets the official OpenAI Python client talk to a running server, as an application would.

Reads OPENAI_BASE_URL and OPENAI_API_KEY, as the client itself does; the route is `support`, or LOOPWRIGHT_ROUTE.
Each check is a function; what it asserts is what applications rely on. Ends with 1 if one of them fails.
"""

import os

import checks
import openai

ROUTE = os.environ.get("LOOPWRIGHT_ROUTE", "support")
QUESTION = [{"role": "user", "content": "I was charged twice for my last order, please send one amount back."}]
# No retries: an error is to be seen as it is. The limit is far above what an answer takes.
client = openai.OpenAI(max_retries=0, timeout=60)


def refused(error, call):
    """The error of class `error` that `call` must end with."""
    try:
        call()
    except error as refusal:
        return refusal
    raise AssertionError(f"expected {error.__name__}, got an answer")


def models_are_listed():
    models = client.models.list()
    ids = [model.id for model in models]
    assert ROUTE in ids, f"expected `{ROUTE}` among {ids}"
    assert all(model.object == "model" for model in models), models


def one_model_is_shown():
    assert client.models.retrieve(ROUTE).id == ROUTE


def chat_answers():
    answer = client.chat.completions.create(model=ROUTE, messages=QUESTION)
    assert answer.id, "expected an id"
    assert answer.object == "chat.completion", answer.object
    assert answer.model == ROUTE, answer.model
    assert answer.system_fingerprint, "expected the model version as fingerprint"
    assert answer.created > 1_600_000_000, f"expected unix seconds, got {answer.created}"
    assert len(answer.choices) == 1, answer.choices
    choice = answer.choices[0]
    assert choice.finish_reason in ("stop", "length"), choice.finish_reason
    assert choice.message.role == "assistant" and choice.message.content, choice.message
    assert choice.message.refusal is None, choice.message.refusal
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage


def greedy_chat_repeats_itself():
    def ask():
        return client.chat.completions.create(model=ROUTE, messages=QUESTION, temperature=0).choices[0].message.content

    first, second = ask(), ask()
    assert first == second, f"{first!r} and then {second!r}"


def max_tokens_ends_the_answer():
    answer = client.chat.completions.create(model=ROUTE, messages=QUESTION, max_tokens=1)
    assert answer.usage.completion_tokens == 1, answer.usage
    assert answer.choices[0].finish_reason == "length", answer.choices[0].finish_reason


def content_parts_are_read():
    parts = [{"role": "user", "content": [{"type": "text", "text": QUESTION[0]["content"]}]}]
    whole = client.chat.completions.create(model=ROUTE, messages=QUESTION, temperature=0)
    answer = client.chat.completions.create(model=ROUTE, messages=parts, temperature=0)
    assert answer.choices[0].message.content == whole.choices[0].message.content, answer


def stream_adds_up_to_the_answer():
    whole = client.chat.completions.create(model=ROUTE, messages=QUESTION, temperature=0).choices[0]
    stream = client.chat.completions.create(
        model=ROUTE, messages=QUESTION, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert len(chunks) >= 3, f"expected text, an end and usage, got {len(chunks)} chunks"
    assert len({chunk.id for chunk in chunks}) == 1, "expected one id in all chunks"
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks), chunks[0].object
    *body, last = chunks
    assert all(chunk.usage is None for chunk in body), "expected usage in the last chunk only"
    assert last.choices == [] and last.usage is not None, last
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens, last.usage
    assert body[0].choices[0].delta.role == "assistant", body[0]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in body)
    assert text == whole.message.content, f"streamed {text!r}, whole {whole.message.content!r}"
    reasons = [chunk.choices[0].finish_reason for chunk in body if chunk.choices[0].finish_reason]
    assert reasons == [whole.finish_reason], reasons


def stream_without_asking_has_no_usage():
    chunks = list(client.chat.completions.create(model=ROUTE, messages=QUESTION, stream=True))
    assert chunks and all(chunk.usage is None and chunk.choices for chunk in chunks), chunks[-1]


def answers_carry_their_trace():
    raw = client.chat.completions.with_raw_response.create(model=ROUTE, messages=QUESTION)
    trace = raw.headers.get("x-trace-id")
    assert trace, f"expected the header x-trace-id, got {dict(raw.headers)}"
    assert raw.parse().id == trace, f"id {raw.parse().id}, header {trace}"


def a_wrong_key_is_refused():
    stranger = client.with_options(api_key="lw-not-a-key")
    error = refused(openai.AuthenticationError, lambda: stranger.chat.completions.create(model=ROUTE, messages=QUESTION))
    assert error.status_code == 401 and error.message, error
    refused(openai.AuthenticationError, lambda: stranger.models.list())


def an_unknown_model_is_not_found():
    error = refused(
        openai.NotFoundError, lambda: client.chat.completions.create(model="no-such-route", messages=QUESTION)
    )
    assert error.status_code == 404 and "no-such-route" in error.message, error.message
    refused(openai.NotFoundError, lambda: client.models.retrieve("no-such-route"))


def an_over_long_prompt_is_refused():
    long = [{"role": "user", "content": "where is my parcel? " * 20_000}]
    error = refused(openai.BadRequestError, lambda: client.chat.completions.create(model=ROUTE, messages=long))
    assert error.code == "context_length_exceeded", error.body


def nonsense_is_a_bad_request():
    for wrong in ({"messages": []}, {"messages": QUESTION, "temperature": -1}, {"messages": "hello"}):
        refused(openai.BadRequestError, lambda: client.chat.completions.create(model=ROUTE, **wrong))


CHECKS = [
    models_are_listed,
    one_model_is_shown,
    chat_answers,
    greedy_chat_repeats_itself,
    max_tokens_ends_the_answer,
    content_parts_are_read,
    stream_adds_up_to_the_answer,
    stream_without_asking_has_no_usage,
    answers_carry_their_trace,
    a_wrong_key_is_refused,
    an_unknown_model_is_not_found,
    an_over_long_prompt_is_refused,
    nonsense_is_a_bad_request,
]


if __name__ == "__main__":
    checks.run(f"openai {openai.__version__} against {client.base_url}", CHECKS)
