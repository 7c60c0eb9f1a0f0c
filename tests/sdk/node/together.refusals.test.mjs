// What the official TypeScript SDK throws when it is refused: classes that programs catch, with the whole body.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import Together from 'together-ai';

const together = new Together();
const wrong = new Together({ apiKey: 'dedi_wrong' });
const model = 'dedi/demo';
const hardware = process.env.DEDI_HARDWARE;
const started = process.env.DEDI_STARTED;
const stopped = process.env.DEDI_STOPPED;
const unknown = 'endpoint-00000000-0000-4000-8000-000000000000';
const autoscaling = { min_replicas: 1, max_replicas: 1 };
const messages = [{ role: 'user', content: 'Hello!' }];
const made = [];

after(async () => {
  for (const id of made) await together.endpoints.delete(id).catch(() => {});
});

function refused(kind, { code, param, words } = {}) {
  return (err) => {
    assert.ok(err instanceof kind, String(err));
    const { error } = err.error;
    assert.ok(typeof error.message === 'string' && typeof error.type === 'string');
    if (code) assert.equal(error.code, code);
    if (param) assert.ok(error.param.startsWith(param), error.param);
    if (words) assert.ok(error.message.includes(words), error.message);
    return true;
  };
}

const management = {
  create: (it) => it.endpoints.create({ model, hardware, autoscaling }),
  retrieve: (it) => it.endpoints.retrieve(unknown),
  update: (it) => it.endpoints.update(unknown, { state: 'STOPPED' }),
  list: (it) => it.endpoints.list(),
  delete: (it) => it.endpoints.delete(unknown),
  listHardware: (it) => it.endpoints.listHardware(),
  listAvzones: (it) => it.endpoints.listAvzones(),
  adapters: (it) => it.endpoints.adapters.list(unknown),
  models: (it) => it.models.list(),
  whoami: (it) => it.whoami(),
};
for (const [name, call] of Object.entries(management)) {
  test(`a wrong key: ${name}`, async () => {
    await assert.rejects(call(wrong), refused(Together.PermissionDeniedError, { code: 'invalid_api_key' }));
  });
}

const inference = {
  chat: (it, model) => it.chat.completions.create({ model, messages }),
  'streamed chat': (it, model) => it.chat.completions.create({ model, messages, stream: true }),
  completion: (it, model) => it.completions.create({ model, prompt: 'Once' }),
  'streamed completion': (it, model) => it.completions.create({ model, prompt: 'Once', stream: true }),
  embeddings: (it, model) => it.embeddings.create({ model, input: 'Once' }),
};
for (const [name, call] of Object.entries(inference)) {
  test(`refusals of a ${name}`, async () => {
    await assert.rejects(call(wrong, started), refused(Together.AuthenticationError, { code: 'invalid_api_key' }));
    const code = 'dedicated_endpoint_not_running';
    await assert.rejects(call(together, stopped), refused(Together.BadRequestError, { code }));
    const absent = { code: 'model_not_available' };
    await assert.rejects(call(together, 'nobody/nothing'), refused(Together.NotFoundError, absent));
    await assert.rejects(call(together, model), refused(Together.BadRequestError, absent));
  });
}

test('embeddings of a model that makes none', async () => {
  await assert.rejects(inference.embeddings(together, started), refused(Together.BadRequestError));
});

test('an unknown endpoint', async () => {
  for (const call of [management.retrieve, management.update, management.delete, management.adapters]) {
    const words = `Endpoint ${unknown} not found`;
    await assert.rejects(call(together), refused(Together.NotFoundError, { code: 'not_found', words }));
  }
});

test('a wrong create names the field', async () => {
  for (const [change, param] of [
    [{ autoscaling: { min_replicas: 2, max_replicas: 1 } }, 'autoscaling'],
    [{ autoscaling: { min_replicas: 1 } }, 'autoscaling'],
    [{ model: '' }, 'model'],
    [{ hardware: '' }, 'hardware'],
    [{ hardware: '8x_nvidia_h100_80gb_sxm' }, 'hardware'],
    [{ state: 'RUNNING' }, 'state'],
    [{ availability_zone: 'nowhere-1' }, 'availability_zone'],
    [{ inactive_timeout: -1 }, 'inactive_timeout'],
  ]) {
    const asked = { model, hardware, autoscaling, ...change };
    await assert.rejects(together.endpoints.create(asked), refused(Together.BadRequestError, { param }));
  }
  const asked = { model: 'nobody/nothing', hardware, autoscaling };
  const words = 'Model nobody/nothing not found';
  await assert.rejects(together.endpoints.create(asked), refused(Together.NotFoundError, { words }));
});

test('adapters are refused', async () => {
  const code = 'adapters_unsupported';
  for (const call of [
    () => together.endpoints.adapters.list(stopped),
    () => together.endpoints.adapters.add(stopped, { model_id: 'a:b' }),
    () => together.endpoints.adapters.remove(stopped, { model_id: 'a:b' }),
  ]) {
    await assert.rejects(call(), refused(Together.BadRequestError, { code }));
  }
});

test('no capacity is PENDING, not an error', async () => {
  const endpoint = await together.endpoints.create({ model, hardware: process.env.DEDI_ALL_DEVICES, autoscaling });
  made.push(endpoint.id);
  assert.equal(endpoint.state, 'PENDING');
  // It waits for a device, as long as it may; SDKs repeat a 503.
  const code = 'dedicated_endpoint_starting';
  const once = together.withOptions({ maxRetries: 0 });
  await assert.rejects(inference.chat(once, endpoint.id), refused(Together.InternalServerError, { code }));
});
