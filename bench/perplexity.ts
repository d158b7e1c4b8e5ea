// Perplexity of the first 2,048 tokens of wikitext-2's test text, against llama.cpp's on the same tokens.
import { negativeLogLikelihoods } from '../cli/measure/evaluate.ts';
import { ensureLlama, perplexity as llamaPerplexity } from '../tests/llama/llama.ts';
import { MODEL, openInNode } from './support/engine.ts';
import { record } from './support/results.ts';
import { heldOutTokens } from './support/texts.ts';

const TOKENS = 2048;

await ensureLlama();
const engine = await openInNode();
const tokens = await heldOutTokens(engine, 'wikitext', TOKENS);
const nlls = await negativeLogLikelihoods(await engine.session(), tokens);
const perplexity = Math.exp(nlls.reduce((sum, nll) => sum + nll, 0) / nlls.length);
const llama = (await llamaPerplexity(MODEL, tokens)).perplexity;
const difference = perplexity / llama - 1;
console.log(`${engine.device}: perplexity ${perplexity.toFixed(4)} over ${nlls.length} tokens`);
console.log(`llama.cpp: ${llama.toFixed(4)}; ours differs by ${(100 * difference).toFixed(3)} %`);
await record('perplexity', engine.device, {
  text: 'wikitext-2 test',
  tokens: nlls.length,
  perplexity,
  llama,
  difference,
});
process.exit(0);
