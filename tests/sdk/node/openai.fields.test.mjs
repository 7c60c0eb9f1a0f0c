// Every field of inference through OpenAI's TypeScript SDK, with Together's own beside OpenAI's; see fields.mjs.

import OpenAI from 'openai';
import { test } from 'node:test';
import * as fields from './fields.mjs';

const client = new OpenAI();
const asks = fields.asker(client, process.env.DEDI_STARTED);
const bodyOf = (err) => err.error;
const rough = new OpenAI({ baseURL: process.env.DEDI_ROUGH_URL, apiKey: process.env.DEDI_ROUGH_KEY, maxRetries: 0 });

test('a required or named tool is called', async () => {
  await fields.aToolIsCalled(asks, 'required');
  await fields.aToolIsCalled(asks, 'weather', 'weather');
  await fields.aToolIsCalled(asks, { type: 'function', function: { name: 'clock' } }, 'clock');
});
test('tools left to the model, or forbidden', () => fields.toolsLeftOrForbidden(asks));
test('tools streamed', async () => {
  await fields.toolsStreamed(asks, 'required');
  await fields.toolsStreamed(asks, { type: 'function', function: { name: 'weather' } }, 'weather');
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
test('vectors', () => fields.vectors(client, process.env.DEDI_EMBEDDER));
test('an engine that dies in a stream throws', () =>
  fields.anEngineDies(rough, process.env.DEDI_MORTAL, Number(process.env.DEDI_MORTAL_PID)));
test('full and cold endpoints', () =>
  fields.fullAndCold(rough, process.env.DEDI_FULL, process.env.DEDI_COLD, bodyOf));
test('too long a body', () => fields.tooLongABody(fields.asker(rough, process.env.DEDI_COLD), bodyOf));
