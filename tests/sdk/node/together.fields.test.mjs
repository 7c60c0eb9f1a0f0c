// Every field of inference through the official TypeScript SDK.

import Together from 'together-ai';
import { everyField } from './fields.suite.mjs';

everyField(Together, (err) => err.error.error);
