// The demonstration adapters in PEFT and in GGUF form: equal logits, and llama.cpp's perplexity with them.
import { eachLogits, negativeLogLikelihoods } from '../../cli/measure/evaluate.ts';
import { UNADAPTED } from '../../src/engine/adapters.ts';
import { ensureLlama, perplexity as llamaPerplexity } from '../../tests/llama/llama.ts';
import { nmse } from '../../tests/support/nmse.ts';
import { DEMO_ADAPTERS, loadAdapter, MODEL, openInNode } from '../support/engine.ts';
import { ggufForm } from '../support/gguf-form.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

const TOKENS = 2048;
/** Logits are compared on fewer tokens; all would take 400 MB. */
const COMPARED = 128;

await ensureLlama();
const engine = await openInNode();
const session = await engine.session();
const results: Record<string, object> = {};
for (const name of DEMO_ADAPTERS) {
  const tokens = await heldOutTokens(engine, name, TOKENS);
  const gguf = await ggufForm(engine, name);
  const logits: Float32Array[][] = [];
  let perplexity = 0;
  for (const path of [undefined, gguf]) {
    await loadAdapter(engine, name, path);
    const whole = await engine.adapt([{ name, scale: 1 }], { ranks: 'uniform' });
    const rows: Float32Array[] = [];
    const keep = (_: number, length: number, all: Float32Array): void => {
      const width = all.length / length;
      for (let i = 0; i < length; i++) rows.push(all.slice(i * width, (i + 1) * width));
    };
    await eachLogits(session, tokens.slice(0, COMPARED), keep, { adaptation: whole });
    logits.push(rows);
    if (path === undefined) perplexity = exp(await negativeLogLikelihoods(session, tokens, whole));
    engine.unloadAdapter(name);
  }
  const [peft = [], form = []] = logits;
  const error = nmse(peft, form);
  const base = exp(await negativeLogLikelihoods(session, tokens, UNADAPTED));
  const llama = (await llamaPerplexity(MODEL, tokens, { path: gguf })).perplexity;
  const difference = perplexity / llama - 1;
  results[name] = { nmse: error, tokens: tokens.length - 1, base, perplexity, llama, difference };
  console.log(
    `${name}: NMSE ${error.toExponential(1)}; perplexity ${perplexity.toFixed(4)} (base ${base.toFixed(4)}), ` +
      `llama.cpp ${llama.toFixed(4)}, ours differs by ${(100 * difference).toFixed(3)} %`,
  );
}
await record('adapter-forms', engine.device, results);
process.exit(0);

function exp(nlls: readonly number[]): number {
  return Math.exp(nlls.reduce((sum, nll) => sum + nll, 0) / nlls.length);
}
