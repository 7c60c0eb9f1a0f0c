// The official TypeScript SDK against the server in TOGETHER_BASE_URL.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import Together from 'together-ai';

const together = new Together();
const model = 'dedi/demo';
const hardware = process.env.DEDI_HARDWARE;
const started = process.env.DEDI_STARTED;
const autoscaling = { min_replicas: 1, max_replicas: 1 };
const made = [];

async function create(more = {}) {
  const endpoint = await together.endpoints.create({ model, hardware, autoscaling, state: 'STOPPED', ...more });
  made.push(endpoint.id);
  return endpoint;
}

async function untilState(id, state) {
  for (let n = 0; n < 600; n++) {
    const endpoint = await together.endpoints.retrieve(id);
    if (endpoint.state === state) return endpoint;
    assert.notEqual(endpoint.state, 'ERROR', JSON.stringify(endpoint));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.fail(`${id} did not become ${state}`);
}

after(async () => {
  for (const id of made) await together.endpoints.delete(id).catch(() => {});
});

test('create, wait, chat, stop, refuse, delete', async () => {
  const endpoint = await create({ display_name: 'From TypeScript', inactive_timeout: null, state: undefined });
  assert.equal(endpoint.object, 'endpoint');
  assert.ok(['PENDING', 'STARTING', 'STARTED'].includes(endpoint.state));
  await untilState(endpoint.id, 'STARTED');
  const answer = await together.chat.completions.create({
    model: endpoint.name,
    messages: [{ role: 'user', content: 'Hello!' }],
    max_tokens: 8,
  });
  assert.equal(answer.model, endpoint.name);
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.ok(answer.usage.completion_tokens <= 8);

  const stopping = await together.endpoints.update(endpoint.id, { state: 'STOPPED' });
  assert.ok(['STOPPING', 'STOPPED'].includes(stopping.state));
  await assert.rejects(
    together.chat.completions.create({ model: endpoint.id, messages: [{ role: 'user', content: 'Hello!' }] }),
    (err) => {
      assert.ok(err instanceof Together.BadRequestError, String(err));
      assert.equal(err.error.error.code, 'dedicated_endpoint_not_running');
      return true;
    },
  );
  await untilState(endpoint.id, 'STOPPED');
  await together.endpoints.delete(endpoint.id);
  await assert.rejects(together.endpoints.retrieve(endpoint.id), Together.NotFoundError);
  await assert.rejects(async () => {
    // Until it is gone, a delete of what is being deleted is a success.
    for (let n = 0; n < 600; n++) await together.endpoints.delete(endpoint.id);
  }, Together.NotFoundError);
});

test('update changes what it names', async () => {
  const endpoint = await create();
  const updated = await together.endpoints.update(endpoint.id, {
    autoscaling: { min_replicas: 2, max_replicas: 5 },
    display_name: 'Updated Name',
  });
  assert.deepEqual(updated.autoscaling, { min_replicas: 2, max_replicas: 5 });
  assert.equal(updated.display_name, 'Updated Name');
  const unchanged = await together.endpoints.update(endpoint.id, {});
  assert.equal(unchanged.display_name, 'Updated Name');
});

test('list and its filters', async () => {
  const all = await together.endpoints.list();
  assert.ok(all.data.some((it) => it.id === started));
  const mine = await together.endpoints.list({ mine: true, type: 'dedicated' });
  assert.ok(mine.data.some((it) => it.id === started));
  assert.deepEqual((await together.endpoints.list({ type: 'serverless' })).data, []);
});

test('a name with slashes can be retrieved', async () => {
  const endpoint = await together.endpoints.retrieve(process.env.DEDI_STARTED_NAME);
  assert.equal(endpoint.id, started);
});

test('hardware and zones', async () => {
  const all = await together.endpoints.listHardware();
  assert.ok(all.data.some((it) => it.id === hardware));
  const fit = await together.endpoints.listHardware({ model });
  assert.ok(fit.data.every((it) => it.availability.status));
  assert.ok(Array.isArray((await together.endpoints.listAvzones()).avzones));
});

test('a stream has a role in every delta, one finish, usage, and ends at once', async () => {
  const stream = await together.chat.completions.create({
    model: started,
    messages: [{ role: 'user', content: 'Hello!' }],
    max_tokens: 16,
    stream: true,
  });
  let last;
  let text = '';
  for await (const chunk of stream) {
    assert.equal(chunk.choices[0].delta.role, 'assistant');
    text += chunk.choices[0].delta.content ?? '';
    last = chunk;
  }
  assert.ok(text.length > 0);
  assert.ok(['stop', 'eos', 'length'].includes(last.choices[0].finish_reason));
  assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens);
});

test('completions and models', async () => {
  const answer = await together.completions.create({ model: started, prompt: 'Once', max_tokens: 4 });
  assert.equal(typeof answer.choices[0].text, 'string');
  const models = await together.models.list();
  assert.ok(models.some((it) => it.id === model));
});

test('every option of a create, with nulls', async () => {
  const nulls = {
    availability_zone: null,
    disable_prompt_cache: null,
    disable_speculative_decoding: null,
    display_name: null,
    inactive_timeout: null,
  };
  const bare = await create(nulls);
  assert.ok(bare.display_name.length > 0, 'null is as if it were left out');
  assert.equal(bare.inactive_timeout, null);
  const endpoint = await create({
    autoscaling: { min_replicas: 0, max_replicas: 2 },
    availability_zone: 'local',
    disable_prompt_cache: true,
    disable_speculative_decoding: true,
    display_name: 'All of it',
    inactive_timeout: 5,
  });
  assert.equal(endpoint.display_name, 'All of it');
  assert.equal(endpoint.inactive_timeout, 5);
  assert.equal((await together.endpoints.update(endpoint.id, { inactive_timeout: null })).inactive_timeout, null);
  assert.equal((await create()).inactive_timeout, 60);
});

test('start and stop change nothing where nothing is to change', async () => {
  const endpoint = await create();
  assert.equal((await together.endpoints.update(endpoint.id, { state: 'STOPPED' })).state, 'STOPPED');
  assert.equal((await together.endpoints.update(started, { state: 'STARTED' })).state, 'STARTED');
});

test('update and delete by name', async () => {
  const endpoint = await create();
  assert.equal((await together.endpoints.update(endpoint.name, { display_name: 'x' })).id, endpoint.id);
  await together.endpoints.delete(endpoint.name);
  await assert.rejects(together.endpoints.retrieve(endpoint.id), Together.NotFoundError);
});

test('completions as a stream, dedicated models, whoami', async () => {
  let text = '';
  const stream = await together.completions.create({ model: started, prompt: 'Once', max_tokens: 4, stream: true });
  for await (const chunk of stream) text += chunk.choices[0].text ?? chunk.choices[0].delta.content;
  assert.ok(text.length > 0);
  assert.ok((await together.models.list({ dedicated: true })).some((it) => it.id === model));
  assert.ok((await together.whoami()).api_key_id);
});

test('an echo', async () => {
  const messages = [{ role: 'user', content: 'Hello!' }];
  const answer = await together.chat.completions.create({ model: started, messages, max_tokens: 4, echo: true, logprobs: 1 });
  assert.match(answer.prompt[0].text, /Hello!/);
  assert.equal(answer.prompt[0].logprobs.tokens.length, answer.usage.prompt_tokens);
  const text = await together.completions.create({ model: started, prompt: 'Once', max_tokens: 4, echo: true });
  assert.equal(text.prompt[0].text, 'Once');
});

test('a create repeated because its answer got lost makes one endpoint', async () => {
  for (const baseURL of process.env.DEDI_CUT_URLS.split(' ')) {
    const behind = new Together({ baseURL });
    const asked = { model, hardware, autoscaling, state: 'STOPPED', display_name: baseURL };
    const endpoint = await behind.endpoints.create(asked);
    made.push(endpoint.id);
    const all = (await together.endpoints.list()).data;
    const found = await Promise.all(all.map((it) => together.endpoints.retrieve(it.id)));
    assert.deepEqual(found.filter((it) => it.display_name === baseURL).map((it) => it.id), [endpoint.id]);
  }
});
