// OpenAI's TypeScript SDK, for inference.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { makeParseableResponseFormat } from 'openai/lib/parser';
import { fits, schema } from './fields.mjs';

const openai = new OpenAI();
const model = process.env.DEDI_STARTED;
const messages = [{ role: 'user', content: 'Hello!' }];
const calls = {
  chat: (client, model) => client.chat.completions.create({ model, messages }),
  'streamed chat': (client, model) => client.chat.completions.create({ model, messages, stream: true }),
  completion: (client, model) => client.completions.create({ model, prompt: 'Once' }),
  'streamed completion': (client, model) => client.completions.create({ model, prompt: 'Once', stream: true }),
  embeddings: (client, model) => client.embeddings.create({ model, input: 'Once' }),
};

function refused(kind, code) {
  return (err) => {
    assert.ok(err instanceof kind, String(err));
    if (code) assert.equal(err.code, code);
    return true;
  };
}

test('a chat', async () => {
  const answer = await openai.chat.completions.create({ model, messages, max_tokens: 8 });
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.ok(answer.usage.total_tokens > 0);
});

test('a streamed chat', async () => {
  let text = '';
  let finish = null;
  for await (const chunk of await openai.chat.completions.create({ model, messages, max_tokens: 8, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? '';
    finish = chunk.choices[0]?.finish_reason ?? finish;
  }
  assert.ok(text.length > 0);
  assert.ok(['stop', 'length'].includes(finish));
});

test('the helper that puts a stream together', async () => {
  const stream = openai.chat.completions.stream({ model, messages, max_tokens: 8 });
  const answer = await stream.finalChatCompletion();
  assert.ok(answer.choices[0].message.content.length > 0);
});

test('parse', async () => {
  const asked = { model, messages, max_tokens: 64 };
  const json_schema = { name: 'answer', schema, strict: true };
  const response_format = makeParseableResponseFormat({ type: 'json_schema', json_schema }, (text) => {
    fits(text);
    return JSON.parse(text);
  });
  const answer = await openai.chat.completions.parse({ ...asked, response_format });
  assert.equal(typeof answer.choices[0].message.parsed.ok, 'boolean');
  const streamed = await openai.chat.completions.stream({ ...asked, response_format }).finalChatCompletion();
  assert.equal(typeof streamed.choices[0].message.parsed.ok, 'boolean');
});

test('the helper passes over the numbers of a stream', async () => {
  // A known difference: it would keep OpenAI's objects; the text it puts together is whole.
  const stream = openai.chat.completions.stream({ model, messages, max_tokens: 4, logprobs: true });
  const answer = await stream.finalChatCompletion();
  assert.equal(answer.choices[0].message.content, 'Hell');
});

test('an echo', async () => {
  const text = await openai.completions.create({ model, prompt: 'Once', max_tokens: 4, echo: true });
  assert.equal(text.prompt[0].text, 'Once');
  const chat = await openai.chat.completions.create({ model, messages, max_tokens: 4, echo: true });
  assert.match(chat.prompt[0].text, /Hello!/);
});

test('a completion, plain and streamed', async () => {
  const answer = await openai.completions.create({ model, prompt: 'Once', max_tokens: 4 });
  assert.equal(typeof answer.choices[0].text, 'string');
  let text = '';
  for await (const chunk of await openai.completions.create({ model, prompt: 'Once', max_tokens: 4, stream: true })) {
    text += chunk.choices[0].text;
  }
  assert.ok(text.length > 0);
});

test('models', async () => {
  const ids = [];
  for await (const it of openai.models.list()) ids.push(it.id);
  assert.ok(ids.includes('dedi/demo') && ids.includes(process.env.DEDI_STARTED_NAME), ids.join());
  const wrong = new OpenAI({ apiKey: 'dedi_wrong' });
  await assert.rejects(wrong.models.list(), refused(OpenAI.PermissionDeniedError, 'invalid_api_key'));
});

test('embeddings of a model that makes none', async () => {
  await assert.rejects(calls.embeddings(openai, model), refused(OpenAI.BadRequestError));
});

for (const [name, call] of Object.entries(calls)) {
  test(`refusals of a ${name}`, async () => {
    const wrong = new OpenAI({ apiKey: 'dedi_wrong' });
    await assert.rejects(call(wrong, model), refused(OpenAI.AuthenticationError, 'invalid_api_key'));
    const stopped = process.env.DEDI_STOPPED;
    await assert.rejects(call(openai, stopped), refused(OpenAI.BadRequestError, 'dedicated_endpoint_not_running'));
    for (const unknown of ['nobody/nothing', 'endpoint-00000000-0000-4000-8000-000000000000']) {
      await assert.rejects(call(openai, unknown), refused(OpenAI.NotFoundError, 'model_not_available'));
    }
    await assert.rejects(call(openai, 'dedi/demo'), refused(OpenAI.BadRequestError, 'model_not_available'));
  });
}
