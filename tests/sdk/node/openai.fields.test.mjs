// Every field of inference through OpenAI's TypeScript SDK, with Together's own beside OpenAI's.

import OpenAI from 'openai';
import { everyField } from './fields.suite.mjs';

everyField(OpenAI, (err) => err.error);
