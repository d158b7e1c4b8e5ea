/**
 * Model steps per token of JSON answers, in which a step verifies several tokens of forced text:
 *
 *     node --import tsx --import ./tools/wgsl-loader.mjs tools/grammars/steps.ts SCHEMAS.jsonl [--count 20] [--tokens 120]
 *
 * The default model answers greedily. With log-probabilities each token needs a step of its own, so the same answers with
 * them are the baseline.
 */
import { GREEDY } from '../../src/config/sampling.ts';
import type { GenerateEvent, GenerateOptions } from '../../src/engine/types.ts';
import { openInNode } from '../../bench/support/engine.ts';
import { commandLine } from './measures.ts';
import { readSchemas } from './schemas.ts';

const { args, options } = commandLine();
const count = Number(options.get('count') ?? 20);
const maxTokens = Number(options.get('tokens') ?? 120);
const engine = await openInNode();
const total = { tokens: 0, forced: 0, steps: 0, before: 0 };

async function ended(events: AsyncIterable<GenerateEvent>): Promise<Extract<GenerateEvent, { type: 'end' }>> {
  for await (const event of events) if (event.type === 'end') return event;
  throw new Error('the answer has no end');
}

for (const { name, schema, instances } of readSchemas(args[0] ?? '')
  .filter(({ instances }) => instances.some(({ valid }) => valid))
  .slice(0, count)) {
  const example = instances.find(({ valid }) => valid)?.text.slice(0, 600) ?? '';
  const messages = [{ role: 'user' as const, content: `Write JSON like this, with other values:\n${example}` }];
  const ask = (more: Partial<GenerateOptions>) =>
    ended(
      engine.chat(messages, {
        ...{ sampling: GREEDY, stop: [], maxTokens, responseFormat: { type: 'json_schema', schema }, ...more },
      }),
    );
  try {
    const { usage, report } = await ask({});
    const before = await ask({ topLogprobs: 0 });
    const steps = 1 + (usage.completionTokens - 1) / report.tokensPerStep;
    total.tokens += usage.completionTokens;
    total.forced += usage.forcedTokens;
    total.steps += steps;
    total.before += before.usage.completionTokens;
    console.log(
      `${name}: ${usage.completionTokens} tokens, ${usage.forcedTokens} without a choice, ${steps.toFixed(0)} steps`,
    );
  } catch (error) {
    console.log(`${name}: ${String(error)}`);
  }
}
engine.dispose();
console.log(
  `${total.tokens} tokens in ${total.steps.toFixed(0)} steps: ${(total.steps / total.tokens).toFixed(2)} steps a token`,
);
console.log(`${total.before} tokens before, a step each`);
