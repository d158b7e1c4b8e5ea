import { afterAll, beforeAll, expect, it } from 'vitest';
import { openInBrowser } from '../support/engine-page/open-engine-page.ts';
import { FileSource } from '../../src/node/file-source.ts';
import { napping, nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { eachLogits } from '../../cli/measure/evaluate.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { renderChat } from '../../src/tokenizer/chat-template.ts';
import { ADAPTERS_HERE } from '../../tests/support/adapters/adapters-here.ts';
import { REAL_MODEL } from '../../tests/support/models/real-model.ts';

// This file computes more than it compiles, so lavapipe optimizes its shaders for the processor's vectors, as for users.
for (const name of ['GALLIVM_PERF', 'LP_NATIVE_VECTOR_WIDTH', 'MESA_SHADER_CACHE_DIR']) delete process.env[name];

const PROMPTS = ['Write a short poem about the sea.', 'List five fruits and their colours.'];
const TOKENS = 32;
/** Where two devices first differ, the best two logits may differ at most by this: both answers are right. */
const TIE = 1e-2;

let engine: LocalEngine;
let source: FileSource;
const inNode = new Map<string, number[]>();

beforeAll(async () => {
  source = await FileSource.open(REAL_MODEL);
  engine = await openEngine({ gpu: nodeGpu(), sources: [source], wait: napping, ...ADAPTERS_HERE });
  for (const prompt of PROMPTS) inNode.set(prompt, await greedy(prompt));
});

afterAll(async () => {
  engine.dispose();
  await source.close();
});

async function greedy(prompt: string): Promise<number[]> {
  const tokens: number[] = [];
  const options = { maxTokens: TOKENS, sampling: GREEDY, stop: [] };
  for await (const event of engine.chat([{ role: 'user', content: prompt }], options)) {
    if (event.type === 'token') tokens.push(event.token);
  }
  return tokens;
}

/** Difference of the best two logits after the question and `answered` tokens of the answer. */
async function margin(prompt: string, answered: readonly number[]): Promise<number> {
  const session = await engine.session();
  const question = renderChat(session.plan.tokenizer, [{ role: 'user', content: prompt }]);
  const tokens = [...engine.tokenizer.encode(question, { parseSpecial: true }), ...answered];
  let best = [-Infinity, -Infinity];
  await eachLogits(session, tokens, (start, length, logits) => {
    if (start + length < tokens.length) return;
    best = [...logits.slice(-logits.length / length)].sort((a, b) => b - a).slice(0, 2);
  });
  return (best[0] as number) - (best[1] as number);
}

it('SwiftShader in Chromium gives the greedy answers of lavapipe in Node, or differs first where the best two logits are tied', async () => {
  const page = await openInBrowser('swiftshader', 'models/SmolLM2-135M-Instruct.Q4_1.gguf');
  try {
    for (const prompt of PROMPTS) {
      const here = inNode.get(prompt) ?? [];
      const there = await page.greedy(prompt, TOKENS);
      expect(here.length).toBeGreaterThan(10);
      const first = here.findIndex((token, i) => token !== there[i]);
      if (first === -1) expect(there).toEqual(here);
      else expect(await margin(prompt, here.slice(0, first)), `${prompt} at ${first}`).toBeLessThan(TIE);
    }
  } finally {
    await page.close();
  }
}, 240_000);
