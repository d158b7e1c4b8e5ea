// What becomes of quality when a text goes on past its context: perplexity of wikitext-2, stretch by stretch, with the
// oldest pages given up all along; beside the dense cache that holds the text as far as the model was trained, and beside
// windows that begin anew wherever the context is full.
import { cachedPerplexity } from '../../cli/evaluations/kv.ts';
import { DENSE } from '../../src/cache/policy.ts';
import { policyOf } from '../../src/cache/kv-options.ts';
import { openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

/** Tokens that the shifting text may hold; those the model was trained for; those of the whole text. */
const CONTEXT = Number(process.env.CHUNKWISE_CONTEXT ?? 2048);
const TRAINED = 8192;
const LENGTH = Number(process.env.CHUNKWISE_LENGTH ?? 12_288);

const perplexityOf = (nlls: readonly number[]): number =>
  Math.exp(nlls.reduce((sum, nll) => sum + nll, 0) / nlls.length);

/** Of each stretch of CONTEXT tokens. */
function byStretch(nlls: readonly number[]): number[] {
  return Array.from({ length: Math.ceil(nlls.length / CONTEXT) }, (_, i) =>
    perplexityOf(nlls.slice(i * CONTEXT, (i + 1) * CONTEXT)),
  );
}

async function measured(contextLength: number, window: number, length: number, policy = DENSE) {
  const engine = await openInNode({ contextLength });
  const tokens = await heldOutTokens(engine, 'wikitext', length);
  const { nlls, kv, memoryPeak } = await cachedPerplexity(engine, tokens, window, policy);
  const { device } = engine;
  engine.dispose();
  return { device, stretches: byStretch(nlls), droppedTokens: kv.droppedTokens, kvPeak: memoryPeak.kv };
}

const { device, ...shifting } = await measured(CONTEXT, LENGTH, LENGTH, policyOf({ kv: 'policy' }));
const anew = await measured(CONTEXT, CONTEXT, LENGTH);
const whole = await measured(TRAINED, TRAINED, Math.min(TRAINED, LENGTH));
const results = { shifting, anew, whole };
for (const [name, { stretches, droppedTokens, kvPeak }] of Object.entries(results)) {
  console.log(
    `${name}: ${stretches.map((each) => each.toFixed(2)).join(', ')}; ${droppedTokens} tokens given up, keys and values at most ${(kvPeak / 1e6).toFixed(1)} MB`,
  );
}
await record('context-shift', device, { context: CONTEXT, length: LENGTH, trained: TRAINED, ...results });
process.exit(0);
