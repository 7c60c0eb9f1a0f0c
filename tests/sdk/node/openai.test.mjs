// OpenAI's TypeScript SDK, for inference.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';

const openai = new OpenAI();
const model = process.env.DEDI_STARTED;
const messages = [{ role: 'user', content: 'Hello!' }];

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

test('a completion', async () => {
  const answer = await openai.completions.create({ model, prompt: 'Once', max_tokens: 4 });
  assert.equal(typeof answer.choices[0].text, 'string');
});

test('a wrong key is an authentication error', async () => {
  const wrong = new OpenAI({ apiKey: 'dedi_wrong' });
  await assert.rejects(wrong.chat.completions.create({ model, messages }), OpenAI.AuthenticationError);
});
