import { expect, test } from 'vitest';
import { OPTIONAL_FEATURES } from '../../src/gpu/device.ts';
import { Sequence } from '../../src/session/sequence.ts';
import { dispatchesOf } from '../../tools/instruments/paper-model.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

const TOKENS = 40;

test('a paper GPU gets the same dispatches and batch table as a GPU', async () => {
  const engine = await engineUnderTest(tinyModel({ architecture: 'qwen3', type: 'Q8_0', numLayers: 1, seed: 4 }), {
    deviceClass: 'gpu',
  });
  const session = await engine.session();
  const counts = countGpu();
  await session.prefill(new Sequence(), new Array<number>(TOKENS).fill(0), () => undefined);
  const { config } = session.plan;
  const all = await dispatchesOf({
    config,
    type: 'Q8_0',
    features: OPTIONAL_FEATURES,
    phases: [],
    promptTokens: TOKENS,
  });
  const noted = all.filter(({ phase }) => phase === 'prefill');
  expect(noted.length).toBe(counts.dispatches);
  const compiled = new Set(session.device.pipelines.texts().map(({ text }) => text));
  expect(noted.filter(({ code }) => !compiled.has(code)).map(({ kernel }) => kernel)).toEqual([]);
  const table = noted.flatMap(({ bindings }) => bindings).find(({ label }) => label === 'batchTable');
  const words = new Uint32Array(table?.contents?.slice().buffer ?? new ArrayBuffer());
  // Each token's place, position, first page and page.
  expect(Array.from({ length: TOKENS }, (_, i) => words[4 * i + 1])).toEqual(
    Array.from({ length: TOKENS }, (_, i) => i),
  );
});
