"""LangChain's and LiteLLM's clients against a model whose answers are known (`make_model.py`)."""

import os
from typing import Literal

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # No look-up of prices elsewhere.

import checks
import litellm
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

ROUTE = os.environ["LOOPWRIGHT_ROUTE"]
ANSWER = "Sure, thing!"
QUESTION = "Do you help?"
MESSAGES = [{"role": "user", "content": QUESTION}]
litellm.telemetry = False
OPENAI = {"model": f"openai/{ROUTE}", "api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
ANTHROPIC = {
    "model": f"anthropic/{ROUTE}",
    "api_base": os.environ["ANTHROPIC_BASE_URL"],
    "api_key": os.environ["ANTHROPIC_API_KEY"],
}


class Ticket(BaseModel):
    """A ticket."""

    kind: Literal["parcel", "card"]
    note: str


@tool
def get_weather(city: str) -> str:
    """Tells the weather."""
    return f"rain in {city}"


def models():
    return [
        ChatOpenAI(model=ROUTE, max_retries=0),
        ChatOpenAI(model=ROUTE, max_retries=0, use_responses_api=True),
        ChatAnthropic(model=ROUTE, max_retries=0, max_tokens=200),
    ]


def text_of(message):
    content = message.content
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def langchain_asks_and_streams():
    for model in models():
        answer = model.invoke([HumanMessage(QUESTION)])
        assert text_of(answer) == ANSWER, (model, answer)
        assert answer.usage_metadata["total_tokens"] > 0, answer
        assert "".join(text_of(chunk) for chunk in model.stream(QUESTION)) == ANSWER, model


def langchain_calls_tools():
    for model in models():
        bound = model.bind_tools([get_weather], tool_choice="any")
        answer = bound.invoke(QUESTION)
        call = answer.tool_calls[0]
        assert (call["name"], call["args"]) == ("get_weather", {"city": ANSWER}), (model, answer)
        result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
        again = model.bind_tools([get_weather]).invoke([HumanMessage(QUESTION), answer, result])
        assert text_of(again) == ANSWER, (model, again)


def langchain_gets_structured_output():
    for method in ("json_schema", "function_calling"):
        ticket = ChatOpenAI(model=ROUTE).with_structured_output(Ticket, method=method).invoke(QUESTION)
        assert isinstance(ticket, Ticket) and ticket.note == ANSWER, ticket
    ticket = ChatAnthropic(model=ROUTE, max_tokens=200).with_structured_output(Ticket).invoke(QUESTION)
    assert isinstance(ticket, Ticket), ticket


def langchain_embeds():
    vectors = OpenAIEmbeddings(model=ROUTE, check_embedding_ctx_length=False).embed_documents(["a", "b"])
    assert len(vectors) == 2 and abs(sum(x * x for x in vectors[0]) - 1) < 1e-3


def litellm_asks_and_streams():
    for way in (OPENAI, ANTHROPIC):
        answer = litellm.completion(messages=MESSAGES, max_tokens=200, **way)
        assert answer.choices[0].message.content == ANSWER, answer
        assert answer.choices[0].finish_reason == "stop", answer
        chunks = litellm.completion(messages=MESSAGES, max_tokens=200, stream=True, **way)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER, way


def litellm_calls_tools():
    schema = get_weather.args_schema.model_json_schema()
    tools = [{"type": "function", "function": {"name": "get_weather", "description": "Tells it.", "parameters": schema}}]
    for way in (OPENAI, ANTHROPIC):
        answer = litellm.completion(messages=MESSAGES, tools=tools, tool_choice="required", max_tokens=200, **way)
        assert answer.choices[0].finish_reason == "tool_calls", answer
        assert answer.choices[0].message.tool_calls[0].function.name == "get_weather", answer


def litellm_embeds_and_sees_errors():
    assert len(litellm.embedding(input=["a", "b"], **OPENAI).data) == 2
    try:
        litellm.completion(messages=MESSAGES, **{**OPENAI, "model": "openai/no-such-route"})
    except litellm.NotFoundError:
        return
    raise AssertionError("expected NotFoundError")


CHECKS = [
    langchain_asks_and_streams,
    langchain_calls_tools,
    langchain_gets_structured_output,
    langchain_embeds,
    litellm_asks_and_streams,
    litellm_calls_tools,
    litellm_embeds_and_sees_errors,
]

if __name__ == "__main__":
    checks.run("LangChain and LiteLLM", CHECKS)
