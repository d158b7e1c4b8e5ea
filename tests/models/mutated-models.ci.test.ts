import { expect, test } from 'vitest';
import { nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { planModel } from '../../src/session/model-plan.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { openDevice } from '../../src/gpu/device.ts';
import { ggufBases, mutatedModel } from '../fuzz/gguf-models.ts';
import { FILE_CODES } from '../fuzz/kind.ts';
import { Random } from '../support/random.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';

/** Continues tests/fuzz, which loads files without a GPU: up to the plan, and for two models up to an answer. */
test('60 mutated models load or are refused by name, and two that load answer or are refused', async () => {
  const random = new Random(77);
  const bases = await ggufBases();
  const device = await openDevice(nodeGpu());
  const planned: { what: string; bytes: Uint8Array }[] = [];
  try {
    for (let i = 0; i < 60; i++) {
      const [what, bytes] = mutatedModel(bases[i % bases.length]!, random);
      const plan = await planModel(device, [sourceOf(bytes)]).catch((error: unknown) => {
        if (!(error instanceof ChunkwiseError)) throw new Error(`${what}: ${String(error)}`, { cause: error });
        expect([...FILE_CODES, 'over_limit'], what).toContain(error.code);
        expect(error.detail.file, what).toBe('tiny.gguf');
      });
      if (!plan) continue;
      expect(Number.isSafeInteger(plan.totalBytes) && plan.totalBytes > 0, what).toBe(true);
      planned.push({ what, bytes });
    }
  } finally {
    device.close();
  }
  for (const { what, bytes } of planned.slice(-2)) {
    try {
      const engine = await engineUnderTest(bytes);
      const { tokens } = await answer(engine.complete('Hello', { maxTokens: 3, sampling: GREEDY, stop: [] }));
      expect(
        tokens.every((token) => token < engine.tokenizer.vocabSize),
        what,
      ).toBe(true);
    } catch (error) {
      if (!(error instanceof ChunkwiseError)) throw new Error(`${what}: ${String(error)}`, { cause: error });
      // A template may refuse the messages.
      expect([...FILE_CODES, 'bad_request'], what).toContain(error.code);
    }
  }
});
