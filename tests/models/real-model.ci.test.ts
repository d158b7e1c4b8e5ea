import { readFile } from 'node:fs/promises';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { FileSource } from '../../src/node/file-source.ts';
import { errorBudgetPolicy } from '../../src/cache/policy.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { eachLogits } from '../../cli/measure/evaluate.ts';
import { ensureLlama, perplexity, tokenize } from '../llama/llama.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';
import { answer, USER } from '../support/answer.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { PERPLEXITY } from '../support/tolerances.ts';

beforeAll(ensureLlama, 300_000);

const prose = await readFile(new URL('../support/prose.txt', import.meta.url), 'utf8');

async function realEngine() {
  const source = await FileSource.open(REAL_MODEL);
  onTestFinished(() => source.close());
  return engineUnderTest(source, { contextLength: 1024 });
}

test("perplexity of 512 tokens of prose is within 0.5 % of llama.cpp's, on the same tokens", async () => {
  const engine = await realEngine();
  const all = engine.tokenizer.encode(prose);
  expect(all).toEqual((await tokenize(REAL_MODEL, [prose]))[0]);
  const tokens = all.slice(0, 512);
  expect(tokens).toHaveLength(512);
  const logits = await logitsOf(engine, tokens);
  const nlls = tokens.slice(1).map((token, position) => negativeLogLikelihood(logits[position]!, token));
  const ours = Math.exp(nlls.reduce((sum, nll) => sum + nll, 0) / nlls.length);
  const llama = await perplexity(REAL_MODEL, tokens);
  expect(Math.abs(ours / llama.perplexity - 1)).toBeLessThan(PERPLEXITY.relative);
  // Errors do not merely cancel: each token's likelihood is close to llama.cpp's too.
  const differences = nlls.map((nll, i) => Math.abs(nll - llama.nlls[i]!));
  const mean = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
  expect(mean).toBeLessThan(PERPLEXITY.meanNatsOfAToken);
});

test('the estimated error of the cache is within a factor of two of the true error in the median layer', async () => {
  const engine = await realEngine();
  const tokens = engine.tokenizer.encode(prose);
  for (const loss of [0.002, 0.02]) {
    const policy = errorBudgetPolicy(loss);
    const { kv } = await engine.alone((session) =>
      eachLogits(session, tokens, () => undefined, { policy, shadows: true, from: tokens.length - 1 }),
    );
    const median = (errors: readonly number[] = []): number =>
      [...errors].sort((a, b) => a - b)[Math.floor(errors.length / 2)] ?? NaN;
    const ratio = median(kv.layerErrors) / median(kv.shadowErrors);
    console.log(
      `loss ${loss}: estimated ${median(kv.layerErrors).toFixed(4)}, true ${median(kv.shadowErrors).toFixed(4)}`,
    );
    expect(ratio).toBeGreaterThan(1 / 2);
    expect(ratio).toBeLessThan(2);
  }
});

test('the model answers a question and ends the answer', async () => {
  const engine = await realEngine();
  const question = [USER('What is the capital of France?')];
  const { text, end } = await answer(engine.chat(question, { sampling: GREEDY, stop: [], maxTokens: 64 }));
  expect(text).toMatch(/Paris/);
  expect(end.finishReason).toBe('stop');
});

function negativeLogLikelihood(logits: Float32Array, token: number): number {
  const maximum = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - maximum), 0);
  return Math.log(sum) + maximum - logits[token]!;
}
