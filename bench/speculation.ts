// Decode speed with and without speculation, in pairs of answers of alternating order: a text repeated with edits, the
// same with the cache policy, a list as JSON, a summary, and a free text; default model in Node, usually on lavapipe.
// CHUNKWISE_TEXTS: a selection by name, recorded beside existing results.
import { policyOf } from '../src/cache/policy.ts';
import { GREEDY } from '../src/config/sampling.ts';
import type { GenerateEvent } from '../src/engine/types.ts';
import { NO_ADAPTERS } from '../src/session/adapter-mix.ts';
import { Sequence } from '../src/session/sequence.ts';
import { openInNode } from './support/engine.ts';
import { record, recorded } from './support/results.ts';
import { estimate, type Estimate, format } from './support/statistics.ts';
import { type Task, TASKS } from './support/tasks.ts';

const ROUNDS = Number(process.env['CHUNKWISE_ROUNDS'] ?? 6);
const MAX_TOKENS = 120;

const NAMES = process.env['CHUNKWISE_TEXTS']?.split(',');

interface Run {
  tokens: number[];
  msPerToken: number;
  tokensPerStep: number;
}

const engine = await openInNode({ contextLength: 1024 });
const results: Record<string, { speedup: Estimate; tokensPerStep: number; tokens: number; tie?: number }> = {};
for (const [name, asked] of Object.entries<Task>(TASKS)) {
  if (NAMES && !NAMES.includes(name)) continue;
  const speedups: number[] = [];
  let tokensPerStep = 0;
  let tie: number | undefined;
  let tokens = 0;
  // The first round compiles and times steps of each size.
  for (let round = -1; round < ROUNDS; round++) {
    const isPlainFirst = round % 2 === 0;
    const first = await answer(asked, !isPlainFirst);
    const second = await answer(asked, isPlainFirst);
    const [plain, speculated] = isPlainFirst ? [first, second] : [second, first];
    tie ??= await marginWhereTheyPart(asked, plain.tokens, speculated.tokens);
    console.log(
      `  ${name}: ${plain.msPerToken.toFixed(1)} ms a token, with speculation ${speculated.msPerToken.toFixed(1)} (${speculated.tokensPerStep.toFixed(2)} tokens a step)`,
    );
    if (round < 0) continue;
    speedups.push(plain.msPerToken / speculated.msPerToken);
    tokensPerStep += speculated.tokensPerStep / ROUNDS;
    tokens = plain.tokens.length;
  }
  results[name] = { speedup: estimate(speedups), tokensPerStep, tokens, ...(tie !== undefined && { tie }) };
}
for (const [name, { speedup, tokensPerStep, tie }] of Object.entries(results)) {
  console.log(
    `${engine.device}: ${name}: ${format(speedup)} times as fast, ${tokensPerStep.toFixed(2)} tokens a step, ${tie === undefined ? 'the same tokens' : `other tokens from where two logits were ${tie} apart`}`,
  );
}
const before = NAMES && (await recorded<object>('speculation'))[engine.device];
await record('speculation', engine.device, { ...before, rounds: ROUNDS, maxTokens: MAX_TOKENS, ...results });
engine.dispose();
process.exit(0);

/** Difference of the logits of the first two differing tokens; undefined if none differ. */
async function marginWhereTheyPart(
  { prompt, options }: Task,
  plain: readonly number[],
  speculated: readonly number[],
): Promise<number | undefined> {
  const at = plain.findIndex((token, i) => token !== speculated[i]);
  if (at < 0) return undefined;
  const tokens = [...engine.tokenizer.encode(prompt), ...plain.slice(0, at)];
  return engine.alone(async (session) => {
    const sequence = new Sequence(NO_ADAPTERS, 0, policyOf(options));
    let logits: Float32Array | undefined;
    await session.prefill(sequence, tokens, async (start, length) => {
      if (start + length === tokens.length) logits = await session.logits(length - 1, 1);
    });
    session.release(sequence);
    return Math.abs((logits?.[plain[at] ?? NaN] ?? NaN) - (logits?.[speculated[at] ?? NaN] ?? NaN));
  });
}

async function answer({ prompt, options }: Task, speculate: boolean): Promise<Run> {
  const tokens: number[] = [];
  const events = engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: MAX_TOKENS, speculate, ...options });
  let end: Extract<GenerateEvent, { type: 'end' }> | undefined;
  for await (const event of events) {
    if (event.type === 'token') tokens.push(event.token);
    else end = event;
  }
  const { tokensPerSecond = NaN, tokensPerStep = NaN } = end?.report ?? {};
  return { tokens, msPerToken: 1000 / tokensPerSecond, tokensPerStep };
}
