// Quality of a text that exceeds its context: perplexity of wikitext-2 per stretch while the oldest pages are evicted,
// against the dense cache within the trained context, and against windows that restart when the context is full.
import { cachedPerplexity } from '../../cli/evaluations/kv.ts';
import { DENSE, policyOf } from '../../src/cache/policy.ts';
import { openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

/** Context of the shifting text, of the model's training, and length of the whole text, in tokens. */
const CONTEXT = Number(process.env.CHUNKWISE_CONTEXT ?? 2048);
const TRAINED = 8192;
const LENGTH = Number(process.env.CHUNKWISE_LENGTH ?? 12_288);

const perplexityOf = (nlls: readonly number[]): number =>
  Math.exp(nlls.reduce((sum, nll) => sum + nll, 0) / nlls.length);

/** Perplexity of each stretch of CONTEXT tokens. */
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
    `${name}: ${stretches.map((each) => each.toFixed(2)).join(', ')}; ${droppedTokens} tokens evicted, keys and values at most ${(kvPeak / 1e6).toFixed(1)} MB`,
  );
}
await record('context-shift', device, { context: CONTEXT, length: LENGTH, trained: TRAINED, ...results });
process.exit(0);
