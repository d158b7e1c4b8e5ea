import { readdirSync, readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import type { KvMap } from '../../../src/cache/kv-cache.ts';
import { GREEDY } from '../../../src/config/sampling.ts';
import { textHash } from '../../../src/gpu/kernel.ts';
import { dequantize } from '../../../src/weights/dequantize.ts';
import { GGML_TYPES, type GgmlType } from '../../../src/weights/ggml-types.ts';
import { dequantize as reference } from '../../reference/dequantize.ts';
import { anyMatrix, anyNumbers } from '../../../src/models/checks/known-values.ts';
import { CHECKS } from '../../../src/session/checks/version.ts';
import { answer } from '../../support/answer.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';
import { lastingGpu } from '../../support/gpu/lasting-gpu.ts';
import { miscompiling } from '../../support/gpu/miscompiling.ts';
import { isOfSelfCheck, MemoryTuning } from '../../support/memory-tuning.ts';
import { peftSource, tinyAdapter } from '../../support/models/tiny-adapter.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';

const bytes = tinyModel({
  architecture: 'llama',
  type: 'Q4_1',
  seed: 81,
  contextLength: 512,
  numLayers: 1,
  neverEnds: true,
});

const say = async (engine: Awaited<ReturnType<typeof engineUnderTest>>) =>
  (await answer(engine.complete('Winds', { sampling: GREEDY, stop: [], maxTokens: 12 }))).tokens;

/** A kernel of the model's layers and one of the sampler; `broken-libraries` has every kernel. */
const KERNELS: [kernel: string, named: string, from: RegExp, to: string][] = [
  ['rms-norm', 'rms-norm', /norm_weight\[i\];/, 'norm_weight[i] * 2.0;'],
  ['sample-pick', 'sampler', /INVERSE_LOG_VOCAB,/, '0.5 * INVERSE_LOG_VOCAB,'],
];

test.each(KERNELS)('wrong results of %s are detected and named', async (kernel, named, from, to) => {
  const { gpu, changed } = miscompiling(from, to, [kernel]);
  const opening = engineUnderTest(bytes, { gpu, tuning: new MemoryTuning() });
  await expect(opening).rejects.toMatchObject({
    code: 'wrong_results',
    detail: { field: expect.stringContaining(named) as string, reason: expect.stringContaining('llvmpipe') as string },
  });
  expect(changed()).toBeGreaterThan(0);
});

test('a variant with wrong results is not used, and the result of the check is stored', async () => {
  const expected = await say(await engineUnderTest(bytes));
  const { gpu, changed } = miscompiling(/y\[at\] = value;/, 'y[at] = 2.0 * value;', ['linear-shared']);
  const tuning = new MemoryTuning();
  const options = { gpu, tuning, deviceClass: 'gpu', autotunes: false } as const;
  const engine = await engineUnderTest(bytes, options);
  const { variant } = (await engine.session()).device;
  expect(changed()).toBeGreaterThan(0);
  expect(variant.lanes).not.toBe(32);
  expect(await say(engine)).toEqual(expected);
  const again = await engineUnderTest(bytes, options);
  expect((await again.session()).device.variant).toEqual(variant);
  expect(await say(again)).toEqual(expected);
});

test('a correct device is checked once, and the check leaves no memory allocated', async () => {
  const tuning = new MemoryTuning();
  const unchecked = await engineUnderTest(bytes);
  const first = await engineUnderTest(bytes, { tuning });
  expect(first.memory()).toEqual(unchecked.memory());
  const [key = '', ...others] = tuning.known.keys();
  expect([isOfSelfCheck(key), others]).toEqual([true, []]);
  expect(key).toContain('llvmpipe');
  const began = performance.now();
  const writes = vi.spyOn(tuning, 'set');
  await engineUnderTest(bytes, { gpu: lastingGpu(), tuning });
  expect(writes).not.toHaveBeenCalled(); // otherwise the device would have been checked again
  const known = performance.now() - began;
  tuning.known.clear();
  const asked = performance.now();
  await engineUnderTest(bytes, { gpu: lastingGpu(), tuning });
  console.info(`loading takes ${known.toFixed(0)} ms, with the check ${(performance.now() - asked).toFixed(0)}`);
  expect([...tuning.known.keys()]).toEqual([key]);
});

test('an adapter is not loaded if its kernels give wrong results, and answers continue without it', async () => {
  const { gpu, changed } = miscompiling(/x\[i\] \+ SCALE \* lora_add/, 'x[i] + 0.5 * lora_add', ['lora-delta']);
  const tuning = new MemoryTuning();
  const engine = await engineUnderTest(bytes, { gpu, tuning });
  expect(changed()).toBe(0); // the check of adapters waits for the first adapter
  const before = await say(engine);
  const { config } = (await engine.session()).plan;
  const loading = engine.loadAdapter('a', peftSource(tinyAdapter(config, { seed: 5 })));
  await expect(loading).rejects.toMatchObject({
    code: 'wrong_results',
    detail: { field: expect.stringContaining('with adapters') as string },
  });
  expect(changed()).toBeGreaterThan(0);
  expect(await say(engine)).toEqual(before);
  const right = await engineUnderTest(bytes, { tuning });
  await right.loadAdapter('a', peftSource(tinyAdapter(config, { seed: 5 })));
  expect([...tuning.known.keys()]).toContainEqual(expect.stringMatching(/: right with adapters$/));
});

test('an adapter in plain form is not loaded if its kernels give wrong results', async () => {
  const { gpu, changed } = miscompiling(
    /half4\(p\.xy\), half4\(p\.zw\), half4\(q/,
    'half4(p.xy), half4(p.xy), half4(q',
  );
  const tuning = new MemoryTuning();
  const engine = await engineUnderTest(bytes, { gpu, tuning, lora: 'unfused' });
  const [before, memory] = [await say(engine), engine.memory()];
  const { config } = (await engine.session()).plan;
  const loading = engine.loadAdapter('a', peftSource(tinyAdapter(config, { seed: 5 })));
  await expect(loading).rejects.toMatchObject({
    code: 'wrong_results',
    detail: { field: expect.stringContaining('plain adapters') as string },
  });
  expect(changed()).toBeGreaterThan(0);
  expect(engine.memory()).toEqual(memory);
  expect(await say(engine)).toEqual(before);
  const right = await engineUnderTest(bytes, { tuning, lora: 'unfused' });
  await right.loadAdapter('a', peftSource(tinyAdapter(config, { seed: 5 })));
  expect([...tuning.known.keys()]).toContainEqual(expect.stringMatching(/: right with plain adapters$/));
});

test.each([true, false])('pages change form only if their kernels give correct results (%s)', async (isRight) => {
  const { gpu, changed } = miscompiling(/<< vec4u\(0u, 4u, 0u, 4u\);/, isRight ? '$&' : '<< vec4u(4u, 0u, 0u, 4u);', [
    'quantize-page',
  ]);
  const engine = await engineUnderTest(bytes, { gpu, tuning: new MemoryTuning() });
  const prompt = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(4);
  const told: boolean[] = [];
  const onKv = ({ formsRefused }: KvMap): void => void told.push(formsRefused);
  const options = { sampling: GREEDY, stop: [], maxTokens: 12 };
  const { end } = await answer(engine.complete(prompt, { kv: 'policy', onKv, ...options }));
  const { pages, formsRefused } = end.report.kv;
  // The report says that the forms were refused.
  expect(formsRefused).toBe(!isRight);
  expect(told.at(-1)).toBe(!isRight);
  const dense = await answer(engine.complete(prompt, options));
  expect(dense.end.report.kv.formsRefused).toBe(false);
  expect(pages.q8 + pages.q4 + pages.q3 + pages.k3v2 > 0).toBe(isRight);
  expect(changed() > 0).toBe(!isRight);
});

test('CHECKS is the hash of the checks, so that results of changed checks are discarded', () => {
  const folders = ['src/models/checks', 'src/session/checks'];
  const files = folders
    .flatMap((folder) => readdirSync(folder).map((name) => `${folder}/${name}`))
    .filter((file) => !file.endsWith('/version.ts'));
  const texts = [...files, 'src/gpu/self-check.ts'].sort().map((file) => readFileSync(file, 'utf8'));
  expect(CHECKS).toBe(textHash(texts.join()));
});

test.each(Object.keys(GGML_TYPES) as GgmlType[])('%s has the values of the reference', async (type) => {
  const { tensor, values } = anyMatrix(type, 4, 512, anyNumbers());
  expect(values).toEqual(reference(type, await tensor.source.read(0, tensor.bytes)));
  expect(values.some((value) => value !== 0 && Math.abs(value) < 100)).toBe(true);
  expect(dequantize(type, new Uint8Array(0))).toHaveLength(0);
});
