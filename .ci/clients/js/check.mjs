// OpenAI's and Anthropic's official JavaScript clients against a model whose answers are known (`make_model.py`).
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const model = process.env.LOOPWRIGHT_ROUTE;
const ANSWER = "Sure, thing!";
const messages = [{ role: "user", content: "Do you help?" }];
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = { type: "function", function: { name: "get_weather", description: "Tells it.", parameters: schema } };
const openai = new OpenAI({ maxRetries: 0 });
const anthropic = new Anthropic({ maxRetries: 0 });

const checks = {
  async "chat answers"() {
    const answer = await openai.chat.completions.create({ model, messages });
    assert.equal(answer.choices[0].message.content, ANSWER);
    assert.equal(answer.choices[0].finish_reason, "stop");
  },
  async "chat streams, with usage at the end"() {
    const stream = await openai.chat.completions.create({
      model, messages, stream: true, stream_options: { include_usage: true },
    });
    let text = "", usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, ANSWER);
    assert.ok(usage.total_tokens > 0);
  },
  async "chat calls tools while it streams"() {
    const stream = openai.chat.completions.stream({ model, messages, tools: [tool], tool_choice: "required", parallel_tool_calls: false });
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments), { city: ANSWER });
  },
  async "responses answer and stream"() {
    const response = await openai.responses.create({ model, input: "Do you help?" });
    assert.equal(response.output_text, ANSWER);
    const stream = openai.responses.stream({ model, input: "Do you help?" });
    assert.equal((await stream.finalResponse()).output_text, ANSWER);
  },
  async "embeddings, completions, models"() {
    const one = await openai.embeddings.create({ model, input: "a parcel" });
    assert.ok(one.data[0].embedding.length > 8);
    const text = await openai.completions.create({ model, prompt: "a" });
    assert.equal(text.choices[0].text, ANSWER);
    const ids = [];
    for await (const entry of openai.models.list()) ids.push(entry.id);
    assert.ok(ids.includes(model));
  },
  async "errors are OpenAI's"() {
    await assert.rejects(openai.chat.completions.create({ model: "no-such-route", messages }), OpenAI.NotFoundError);
    await assert.rejects(openai.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError);
  },
  async "messages answer and stream"() {
    const message = await anthropic.messages.create({ model, max_tokens: 200, messages });
    assert.equal(message.content[0].text, ANSWER);
    const final = await anthropic.messages.stream({ model, max_tokens: 200, messages }).finalMessage();
    assert.equal(final.content[0].text, ANSWER);
    assert.equal(final.stop_reason, "end_turn");
  },
  async "messages call tools and count"() {
    const tools = [{ name: "get_weather", input_schema: schema }];
    const tool_choice = { type: "any", disable_parallel_tool_use: true };
    const final = await anthropic.messages.stream({ model, max_tokens: 200, messages, tools, tool_choice }).finalMessage();
    assert.equal(final.stop_reason, "tool_use");
    assert.deepEqual(final.content[0].input, { city: ANSWER });
    assert.ok((await anthropic.messages.countTokens({ model, messages })).input_tokens > 0);
  },
  async "errors are Anthropic's"() {
    await assert.rejects(anthropic.messages.create({ model: "no-such-route", max_tokens: 9, messages }), Anthropic.NotFoundError);
  },
};

let failed = 0;
console.log("JavaScript: openai, @anthropic-ai/sdk");
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`  ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`  FAILED  ${name}`);
    console.log(error);
  }
}
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
