// The tests of every field of inference, for each SDK to take whole; what each must do is in fields.mjs.

import { test } from 'node:test';
import * as fields from './fields.mjs';

const { env } = process;
/// Where `Client` asks the server that is rough with its clients, which it must not ask twice.
const roughOf = (Client) => new Client({ baseURL: env.DEDI_ROUGH_URL, apiKey: env.DEDI_ROUGH_KEY, maxRetries: 0 });

/** `bodyOf` gives an error's `error` member. */
export function everyField(Client, bodyOf) {
  const [client, rough] = [new Client(), roughOf(Client)];
  const asks = fields.asker(client, env.DEDI_STARTED);
  const named = (name) => ({ type: 'function', function: { name } });

  test('a required or named tool is called', async () => {
    await fields.aToolIsCalled(asks, 'required');
    await fields.aToolIsCalled(asks, 'weather', 'weather');
    await fields.aToolIsCalled(asks, named('clock'), 'clock');
  });
  test('tools left to the model, or forbidden', () => fields.toolsLeftOrForbidden(asks));
  test('tools streamed', async () => {
    await fields.toolsStreamed(asks, 'required');
    await fields.toolsStreamed(asks, named('weather'), 'weather');
  });
  test('the result of a tool is read', () => fields.aToolsResultIsRead(asks));
  test('a tool that is not there', () => fields.aToolThatIsNotThere(asks, bodyOf, 'nothing'));
  test('several choices', () => fields.severalChoices(asks));
  test('as many choices as the contract has', () => fields.manyChoices(asks, bodyOf));
  test('stops', () => fields.stops(asks));
  test('a seed repeats its text', () => fields.aSeed(asks));
  test('penalties', () =>
    fields.penalties(asks, bodyOf, { presence_penalty: 2, frequency_penalty: 2, repetition_penalty: 1.1 }));
  test('a banned token', () => fields.aBannedToken(asks));
  test('every form of an answer', () => fields.forms(asks));
  test('log probabilities, whole and streamed', () => fields.logprobs(asks));
  test('longer than the context', () => fields.longerThanTheContext(asks, bodyOf));
  test('too long a prompt', () => fields.tooLongAPrompt(asks, bodyOf));
  test('no messages', () => fields.noMessages(asks, bodyOf));
  test('content in parts', () => fields.parts(asks, bodyOf));
  test('a field that can not be honoured', () => fields.whatCanNotBeHonoured(asks, bodyOf));
  test('vectors', () => fields.vectors(client, env.DEDI_EMBEDDER));
  test('an engine that dies in a stream throws', () =>
    fields.anEngineDies(rough, env.DEDI_MORTAL, Number(env.DEDI_MORTAL_PID)));
  test('full and cold endpoints', () => fields.fullAndCold(rough, env.DEDI_FULL, env.DEDI_COLD, bodyOf));
  test('too long a body', () => fields.tooLongABody(fields.asker(rough, env.DEDI_COLD), bodyOf));
}
