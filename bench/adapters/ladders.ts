// Plain ladders against ladders weighted by the inputs of the base's linears: perplexity at equal ranks, and loss of
// the whole adapter's distribution. Calibrated on the text's start, measured on the rest.
import { mean } from '../../cli/statistics.ts';
import { buildAdapterLadder, type InputRms } from '../../src/adapters/rank-ladder.ts';
import { divergence, negativeLogLikelihoods } from '../../cli/measure/evaluate.ts';
import { inputRms } from '../support/input-rms.ts';
import { loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

const CALIBRATION = 512;
const MEASURED = 1024;
const RANKS = [2, 4, 6, 8];

let weights: InputRms | undefined;
const engine = await openInNode({
  buildLadders: async (adapter) => buildAdapterLadder(adapter, weights && { inputRms: weights }),
});
const results: Record<string, object> = {};
for (const name of ['wikitext', 'shakespeare'] as const) {
  const all = await heldOutTokens(engine, name, CALIBRATION + MEASURED);
  const tokens = all.slice(CALIBRATION);
  const calibrated = await engine.alone((session) => inputRms(session, all.slice(0, CALIBRATION)));
  for (const [kind, rms] of [
    ['plain', undefined],
    ['weighted', calibrated],
  ] as const) {
    weights = rms;
    await loadAdapter(engine, name);
    const uses = [{ name, scale: 1 }];
    const whole = await engine.adapt(uses, { ranks: 'uniform' });
    for (const ranks of RANKS) {
      const cut = await engine.adapt(uses, { ranks });
      const nlls = await engine.alone((session) => negativeLogLikelihoods(session, tokens, cut));
      const { kl } = await engine.alone((session) => divergence(session, tokens, whole, cut));
      const result = { perplexity: Math.exp(mean(nlls)), kl: mean(kl) };
      results[`${name}, rank ${ranks}, ${kind}`] = result;
      console.log(
        `${name}, rank ${ranks}, ${kind}: perplexity ${result.perplexity.toFixed(4)}, KL ${result.kl.toExponential(3)}`,
      );
    }
    engine.unloadAdapter(name);
  }
}
await record('ladders', engine.device, { tokens: MEASURED, calibration: CALIBRATION, results });
process.exit(0);
