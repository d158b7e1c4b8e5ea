// Whether every answer is valid by its schema: 21 schemas, 5 prompts each, greedy and sampled at temperature 1, by the
// default model.
import { GREEDY } from '../src/config/sampling.ts';
import type { GenerateEvent } from '../src/engine/types.ts';
import { SCHEMAS } from '../tests/support/grammars/schemas.ts';
import { faultsOf } from '../tests/support/grammars/validate.ts';
import { openInNode } from './support/engine.ts';
import { record } from './support/results.ts';

const PROMPTS = [
  'Answer with JSON.',
  'Make up an example of',
  'Tell me a story about',
  'Write it in a table, not in JSON:',
  'What would be unusual values for',
];
const MAX_TOKENS = 400;

interface Counts {
  answers: number;
  /** Answers that ended by themselves. */
  ended: number;
  /** Ended answers that parse and validate. */
  valid: number;
  tokens: number;
  /** The invalid answers. */
  faults: string[];
}

const engine = await openInNode({ contextLength: 1024, queueLimit: 200 });
const runs: Record<string, Counts> = {};
for (const temperature of [1, 0]) {
  const counts: Counts = { answers: 0, ended: 0, valid: 0, tokens: 0, faults: [] };
  const asked = Object.entries(SCHEMAS).flatMap(([name, schema]) =>
    PROMPTS.map((prompt, seed) => ({ name, schema, prompt, seed })),
  );
  await Promise.all(
    asked.map(async ({ name, schema, prompt, seed }) => {
      const options = { sampling: { ...GREEDY, temperature, seed }, stop: [], maxTokens: MAX_TOKENS };
      const messages = [{ role: 'user' as const, content: `${prompt} ${name}` }];
      const { text, end } = await readAnswer(
        engine.chat(messages, { ...options, responseFormat: { type: 'json_schema', schema } }),
      );
      counts.answers++;
      counts.tokens += end.usage.completionTokens;
      if (end.finishReason !== 'stop') return void counts.faults.push(`${name}: cut off at ${MAX_TOKENS} tokens`);
      counts.ended++;
      const faults = faultsOf(text, schema);
      if (faults.length === 0) counts.valid++;
      else counts.faults.push(`${name}: ${faults.join(', ')}: ${text}`);
    }),
  );
  console.log(
    `temperature ${temperature}: ${counts.answers} answers, ${counts.ended} ended, ${counts.valid} valid, ${counts.tokens} tokens`,
  );
  for (const fault of counts.faults) console.log(`  ${fault}`);
  runs[`temperature ${temperature}`] = counts;
  await record('json-schema', engine.device, {
    schemas: Object.keys(SCHEMAS).length,
    prompts: PROMPTS.length,
    ...runs,
  });
}
process.exit(0);

async function readAnswer(events: AsyncIterable<GenerateEvent>) {
  let text = '';
  for await (const event of events) {
    text += event.text;
    if (event.type === 'end') return { text, end: event };
  }
  throw new Error('the answer has no end');
}
