// What fields of inference do, whichever client sends them. `chat` answers a body of a chat and `completion` one of a
// completion; both give a list of chunks when `stream` is true. Sampling is greedy unless a check says otherwise.

import assert from 'node:assert/strict';

export const hello = [{ role: 'user', content: 'Hello!' }];
const greeting = 'Hello! How can I help you?';
const parameters = {
  type: 'object',
  properties: { city: { type: 'string', enum: ['Rome', 'Oslo'] } },
  required: ['city'],
  additionalProperties: false,
};
const weather = { type: 'function', function: { name: 'weather', description: 'The weather of a city.', parameters } };
const nothing = { type: 'object', properties: {}, additionalProperties: false };
const clock = { type: 'function', function: { name: 'clock', parameters: nothing } };
const tools = [weather, clock];
export const schema = {
  type: 'object',
  properties: { ok: { type: 'boolean' }, word: { type: 'string', enum: ['red', 'blue'] } },
  required: ['ok', 'word'],
  additionalProperties: false,
};
// The demo model has one token for each byte: a character's number is its token's.
const token = (character) => String(character.charCodeAt(0));

/** Asks a model through a client of either kind. */
export function asker(client, model) {
  const send = async (route, body) => {
    const answer = await route.create(body);
    if (!body.stream) return answer;
    const chunks = [];
    for await (const chunk of answer) chunks.push(chunk);
    return chunks;
  };
  return {
    model,
    chat: (body = {}) => send(client.chat.completions, { model, messages: hello, temperature: 0, ...body }),
    completion: (body = {}) => send(client.completions, { model, prompt: 'Once', temperature: 0, ...body }),
  };
}

/** The refusal of what must be refused. `bodyOf` finds the error in what a client throws. */
export async function refusal(promise, bodyOf) {
  try {
    await promise;
  } catch (err) {
    assert.ok(err.status >= 400, String(err));
    return { status: err.status, headers: err.headers, error: bodyOf(err) };
  }
  assert.fail('it was not refused');
}

const textOf = (answer, n = 0) => answer.choices[n].message.content;
const choicesOf = (chunks) => chunks.flatMap((it) => it.choices);
export const joined = (chunks, index = 0) =>
  choicesOf(chunks)
    .filter((it) => it.index === index)
    .map((it) => it.delta.content ?? '')
    .join('');
const finishOf = (chunks) => {
  const found = choicesOf(chunks).filter((it) => it.finish_reason);
  assert.equal(found.length, 1);
  return found[0].finish_reason;
};

function isACall(call, name) {
  assert.ok(call.id && call.type === 'function' && call.index === 0, JSON.stringify(call));
  assert.ok(['weather', 'clock'].includes(call.function.name));
  if (name) assert.equal(call.function.name, name);
  const args = JSON.parse(call.function.arguments);
  if (call.function.name === 'clock') return assert.deepEqual(args, {});
  assert.deepEqual(Object.keys(args), ['city']);
  assert.ok(['Rome', 'Oslo'].includes(args.city));
}

export async function aToolIsCalled({ chat }, tool_choice, name) {
  const { choices } = await chat({ tools, tool_choice, max_tokens: 160 });
  assert.equal(choices[0].finish_reason, 'tool_calls');
  assert.equal(choices[0].message.tool_calls.length, 1);
  isACall(choices[0].message.tool_calls[0], name);
  assert.ok(!choices[0].message.content);
}

export async function toolsLeftOrForbidden({ chat }) {
  const bare = await chat({ max_tokens: 160 });
  for (const tool_choice of ['auto', 'none']) {
    const answer = await chat({ tools, tool_choice, max_tokens: 160 });
    assert.equal(textOf(answer), greeting);
    assert.ok(!answer.choices[0].message.tool_calls?.length);
    const more = answer.usage.prompt_tokens - bare.usage.prompt_tokens;
    assert.ok(tool_choice === 'auto' ? more > 50 : more === 0, `${more} tokens for ${tool_choice}`);
  }
}

export async function toolsStreamed({ chat }, tool_choice, name) {
  const chunks = await chat({ tools, tool_choice, max_tokens: 160, stream: true });
  assert.equal(finishOf(chunks), 'tool_calls');
  assert.equal(joined(chunks), '');
  const parts = choicesOf(chunks).flatMap((it) => it.delta.tool_calls ?? []);
  assert.ok(parts.length > 0 && parts.every((it) => it.index === 0));
  const all = (of) => parts.map((it) => of(it) ?? '').join('');
  const id = all((it) => it.id);
  const whole = { name: all((it) => it.function.name), arguments: all((it) => it.function.arguments) };
  isACall({ index: 0, type: 'function', id, function: whole }, name);
}

export async function aToolsResultIsRead({ chat }) {
  const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } };
  const ask = (content) =>
    chat({
      messages: [
        { role: 'user', content: 'What is the weather in Oslo?' },
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: 'call_1', content },
      ],
      tools: [weather],
      max_tokens: 8,
    });
  const [short, long] = [await ask('rain'), await ask('rain '.repeat(20))];
  assert.ok(textOf(long).length > 0);
  assert.ok(long.usage.prompt_tokens >= short.usage.prompt_tokens + 90);
}

export async function aToolThatIsNotThere({ chat }, bodyOf, tool_choice) {
  const { status, error } = await refusal(chat({ tools, tool_choice }), bodyOf);
  assert.equal(status, 400);
  assert.ok(error.param.startsWith('tool_choice'));
}

export async function severalChoices({ chat }) {
  const asked = { n: 3, max_tokens: 24, temperature: 3, seed: 5 };
  const answer = await chat(asked);
  assert.deepEqual(answer.choices.map((it) => it.index).sort(), [0, 1, 2]);
  assert.equal(new Set([0, 1, 2].map((n) => textOf(answer, n))).size, 3, 'each choice is its own');
  const chunks = await chat({ ...asked, stream: true });
  const ends = choicesOf(chunks).filter((it) => it.finish_reason);
  assert.deepEqual(ends.map((it) => it.index).sort(), [0, 1, 2]);
  assert.equal(chunks.filter((it) => it.usage).length, 1);
}

export async function manyChoices({ chat }, bodyOf) {
  assert.equal((await chat({ n: 128, max_tokens: 1 })).choices.length, 128);
  for (const n of [0, 129]) {
    const { status, error } = await refusal(chat({ n }), bodyOf);
    assert.deepEqual([status, error.param], [400, 'n']);
  }
}

export async function stops({ chat }) {
  for (const [stop, expected] of [
    ['!', 'Hello'],
    [['!'], 'Hello'],
    [['can', 'you'], 'Hello! How '],
  ]) {
    const answer = await chat({ stop });
    assert.deepEqual([textOf(answer), answer.choices[0].finish_reason], [expected, 'stop']);
    assert.equal(joined(await chat({ stop, stream: true })), expected);
  }
}

export async function aSeed({ chat }) {
  const texts = [];
  for (const seed of [1, 2, 3]) {
    const hot = { temperature: 2, max_tokens: 16, seed };
    texts.push(textOf(await chat(hot)));
    assert.equal(textOf(await chat(hot)), texts.at(-1));
    assert.equal(joined(await chat({ ...hot, stream: true })), texts.at(-1));
  }
  assert.ok(new Set(texts).size > 1, 'the seed is what decides');
}

export async function penalties({ chat }, bodyOf, names) {
  // Only `a` and `b` may come, and `a` always wins, until what was said already counts against it.
  const only = { logit_bias: { [token('a')]: 90, [token('b')]: 86.5 }, max_tokens: 8 };
  assert.equal(textOf(await chat(only)), 'aaaaaaaa');
  for (const [name, value] of Object.entries(names)) {
    const text = textOf(await chat({ ...only, [name]: value }));
    assert.deepEqual(new Set(text), new Set('ab'), `${name}: ${text}`);
    const { status, error } = await refusal(chat({ [name]: 11 }), bodyOf);
    assert.deepEqual([status, error.param], [400, name]);
  }
}

export async function aBannedToken({ chat }) {
  assert.match(textOf(await chat({ max_tokens: 24 })), /H/);
  assert.match(textOf(await chat({ max_tokens: 24, logit_bias: { [token('H')]: -100 } })), /^[^H]+$/);
}

export function fits(text) {
  const value = JSON.parse(text);
  assert.deepEqual(Object.keys(value).sort(), ['ok', 'word']);
  assert.ok(typeof value.ok === 'boolean' && ['red', 'blue'].includes(value.word));
}

export async function forms({ chat }) {
  for (const response_format of [
    { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
    { type: 'json_schema', schema },
    { type: 'json_object', schema },
  ]) {
    fits(textOf(await chat({ response_format, max_tokens: 64 })));
    fits(joined(await chat({ response_format, max_tokens: 64, stream: true })));
  }
  assert.equal(textOf(await chat({ response_format: { type: 'text' } })), greeting);
  const object = { response_format: { type: 'json_object' }, logit_bias: { [token('}')]: 100 }, max_tokens: 64 };
  assert.equal(typeof JSON.parse(textOf(await chat(object))), 'object');
  const pattern = { response_format: { type: 'regex', pattern: '(north|south)-[0-9]{2}' }, max_tokens: 16 };
  assert.match(textOf(await chat(pattern)), /^(north|south)-[0-9]{2}$/);
}

const numbers = (values, n) => {
  assert.equal(values.length, n);
  for (const it of values) assert.ok(typeof it === 'number' && it <= 0, String(it));
  assert.ok(values.some((it) => it < 0));
};

export async function logprobs({ chat, completion }, wanted = 1) {
  const asked = { max_tokens: 6, logprobs: wanted };
  const answer = await chat(asked);
  const lists = answer.choices[0].logprobs;
  assert.equal(lists.tokens.join(''), textOf(answer));
  numbers(lists.token_logprobs, answer.usage.completion_tokens);
  const choices = choicesOf(await chat({ ...asked, stream: true }));
  const said = choices.filter((it) => it.delta.content);
  numbers(said.map((it) => it.logprobs), answer.usage.completion_tokens);
  for (const it of choices) if (!it.delta.content) assert.equal(it.logprobs, null);
  const text = await completion({ prompt: 'The capital of France is', max_tokens: 3, logprobs: 2 });
  numbers(text.choices[0].logprobs.token_logprobs, text.usage.completion_tokens);
}

export async function longerThanTheContext({ chat }, bodyOf) {
  const asked = { max_tokens: 1_000_000, stop: ['!'] };
  for (const more of [{}, { context_length_exceeded_behavior: 'error' }]) {
    const { status, error } = await refusal(chat({ ...asked, ...more }), bodyOf);
    assert.equal(status, 400);
    assert.match(error.message, /context/);
  }
  assert.equal(textOf(await chat({ ...asked, context_length_exceeded_behavior: 'truncate' })), 'Hello');
}

export async function tooLongAPrompt({ chat }, bodyOf) {
  const messages = [{ role: 'user', content: 'word '.repeat(20_000) }];
  const { status, error } = await refusal(chat({ messages }), bodyOf);
  assert.deepEqual([status, error.code, error.type], [400, 'context_length_exceeded', 'invalid_request_error']);
}

export async function noMessages({ chat }, bodyOf) {
  const { status, error } = await refusal(chat({ messages: [] }), bodyOf);
  assert.deepEqual([status, error.param, error.type], [400, 'messages', 'invalid_request_error']);
}

export async function parts({ chat }, bodyOf) {
  const said = { type: 'text', text: 'Hello!' };
  assert.equal(textOf(await chat({ messages: [{ role: 'user', content: [said] }] })), greeting);
  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } };
  const { status, error } = await refusal(chat({ messages: [{ role: 'user', content: [said, image] }] }), bodyOf);
  assert.deepEqual([status, error.param], [400, 'messages[0].content[1]']);
}

export async function whatCanNotBeHonoured({ chat }, bodyOf) {
  for (const [name, value] of Object.entries({
    safety_model: 'guard',
    compliance: 'hipaa',
    reasoning_effort: 'low',
    reasoning: { enabled: true },
    chat_template_kwargs: { mood: 1 },
  })) {
    const { status, error } = await refusal(chat({ [name]: value }), bodyOf);
    assert.equal(status, 400);
    assert.ok(error.message.includes(`\`${name}`), error.message);
  }
}

export async function vectors(client, model) {
  const answer = await client.embeddings.create({ model, input: ['A cat sleeps.', 'A kitten naps.', 'Stocks fell.'] });
  assert.equal(answer.object, 'list');
  assert.deepEqual(answer.data.map((it) => it.index), [0, 1, 2]);
  const [cat, kitten, stocks] = answer.data.map((it) => it.embedding);
  assert.deepEqual([cat, kitten, stocks].map((it) => it.length), [384, 384, 384]);
  const likeness = (one, other) => one.reduce((sum, it, n) => sum + it * other[n], 0);
  assert.ok(Math.abs(likeness(cat, cat) - 1) < 1e-3);
  assert.ok(likeness(cat, kitten) > 0.5 && likeness(cat, stocks) < 0.5);
}

export async function anEngineDies(client, model, enginePid) {
  const seen = [];
  const stream = await client.chat.completions.create({ model, messages: hello, max_tokens: 500, stream: true });
  let isKilled = false;
  const read = async () => {
    for await (const chunk of stream) {
      seen.push(chunk);
      if (!isKilled && chunk.choices[0].delta.content === 'Hello') isKilled = process.kill(enginePid, 'SIGKILL');
    }
  };
  await assert.rejects(read(), /replica/);
  assert.ok(joined(seen).startsWith('Hello'), 'what came before is the client\u2019s');
  assert.ok(choicesOf(seen).every((it) => it.finish_reason === null));
}

export async function fullAndCold(client, full, cold, bodyOf) {
  const busy = await refusal(asker(client, full).chat(), bodyOf);
  assert.deepEqual([busy.status, busy.headers.get('retry-after-ms')], [429, '1000']);
  assert.match(busy.error.message, /limit/);
  const asleep = await refusal(asker(client, cold).chat(), bodyOf);
  assert.equal(asleep.status, 503);
  assert.ok(Number(asleep.headers.get('retry-after-ms')) > 0);
  assert.match(asleep.error.message, /no replica is ready yet/);
}

export async function tooLongABody({ chat }, bodyOf) {
  const messages = [{ role: 'user', content: 'x'.repeat(200_000) }];
  const { status, error } = await refusal(chat({ messages }), bodyOf);
  assert.equal(status, 413);
  assert.match(error.message, /bytes/);
}
