// Perplexity of the first 2,048 tokens of wikitext-2's test text, beside llama.cpp's on the same tokens.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openEngine } from '../src/engine/open-engine.ts';
import { negativeLogLikelihoods } from '../src/engine/evaluate.ts';
import { FileSource } from '../cli/file-source.ts';
import { napping, nodeGpu } from '../cli/node-gpu.ts';
import { ensureLlama, perplexity as llamaPerplexity } from '../tests/llama/llama.ts';
import { ensureModel } from '../tools/fetch-model.ts';
import { record } from './results.ts';

const TOKENS = 2048;
const folder = process.env.CHUNKWISE_DATA ?? '../shared/data';
const file = join(folder, 'wikitext-2', 'test.txt');
const text = await readFile(file, 'utf8').catch(() => {
  console.error(`No ${file}: set CHUNKWISE_DATA to the folder of the evaluation texts.`);
  process.exit(1);
});

await ensureLlama();
const path = await ensureModel();
const source = await FileSource.open(path);
const engine = await openEngine({ gpu: nodeGpu(), sources: [source], wait: napping });
const tokens = engine.tokenizer.encode(text.slice(0, 40_000)).slice(0, TOKENS);
const nlls = await negativeLogLikelihoods(await engine.session(), tokens);
const perplexity = Math.exp(nlls.reduce((sum, nll) => sum + nll, 0) / nlls.length);
const llama = (await llamaPerplexity(path, tokens)).perplexity;
const difference = perplexity / llama - 1;
console.log(`${engine.device}: perplexity ${perplexity.toFixed(4)} over ${nlls.length} tokens`);
console.log(`llama.cpp: ${llama.toFixed(4)}; ours differs by ${(100 * difference).toFixed(3)} %`);
await record('perplexity', engine.device, { text: 'wikitext-2 test', tokens: nlls.length, perplexity, llama, difference });
process.exit(0);
