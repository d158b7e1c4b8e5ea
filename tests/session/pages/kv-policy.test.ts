import { beforeAll, describe, expect, test } from 'vitest';
import { type CachePolicy, DENSE, errorBudgetPolicy, fixedForm, type KvOptions } from '../../../src/cache/policy.ts';
import type { LayerPage } from '../../../src/cache/cache-page.ts';
import { GREEDY } from '../../../src/config/sampling.ts';
import { eachLogits } from '../../../cli/measure/evaluate.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import { UNIT_BYTES } from '../../../src/kernels/formats/page-forms.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';
import { answer } from '../../support/answer.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';
import { countGpu } from '../../support/gpu/gpu-counts.ts';
import { miscompiling } from '../../support/gpu/miscompiling.ts';
import { nmse } from '../../support/nmse.ts';
import { randomTokens } from '../../support/random-tokens.ts';
import { restOnly, byTier } from '../../support/tier.ts';

const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 51, contextLength: 2048 });
/** Twenty-one pages and part of one: four more than policies probe. */
const tokens = randomTokens(690, 270, 9);
const PROMPT = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(12);

async function logitsWith(engine: LocalEngine, policy: CachePolicy): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  await engine.alone((session) =>
    eachLogits(
      session,
      tokens,
      (_, length, logits) => {
        for (let t = 0; t < length; t++)
          rows.push(logits.slice((t * logits.length) / length, ((t + 1) * logits.length) / length));
      },
      { policy },
    ),
  );
  return rows;
}

async function ask(engine: LocalEngine, kv: KvOptions, prompt = PROMPT) {
  const logitBias = new Map([...engine.tokenizer.eosIds].map((id) => [id, -1000]));
  return answer(engine.complete(prompt, { ...kv, sampling: { ...GREEDY, logitBias }, stop: [], maxTokens: 80 }));
}

const total = (bytesOf: Record<string, number>): number => Object.values(bytesOf).reduce((sum, each) => sum + each, 0);

describe('logits with pages in other forms', () => {
  let dense: Float32Array[];
  beforeAll(async () => {
    const engine = await engineUnderTest(bytes);
    dense = await logitsWith(engine, DENSE);
    engine.dispose();
  });

  test('an error budget of 0 is the dense cache, bit for bit', async () => {
    expect(await logitsWith(await engineUnderTest(bytes), errorBudgetPolicy(0))).toEqual(dense);
  });

  test('differ more from the dense logits with fewer bytes', async () => {
    const engine = await engineUnderTest(bytes);
    const errors: number[] = [];
    const forms = byTier(['q8', 'k3v2'] as const, ['q8', 'q4', 'q3', 'k3v2'] as const);
    for (const policy of forms.map((form) => fixedForm(form))) {
      errors.push(nmse(await logitsWith(engine, policy), dense));
    }
    expect(errors[0]).toBeGreaterThan(0);
    expect(errors[0]).toBeLessThan(1e-3);
    expect(errors).toEqual([...errors].sort((a, b) => a - b));
  });

  restOnly(() => {
    test('differ more with a larger loss budget', async () => {
      const engine = await engineUnderTest(bytes);
      const errors: number[] = [];
      for (const loss of [1e-5, 0.1]) errors.push(nmse(await logitsWith(engine, errorBudgetPolicy(loss)), dense));
      expect(errors[0]).toBeGreaterThan(0);
      expect(errors).toEqual([...errors].sort((a, b) => a - b));
    });
  });

  // WGSL allows such a store (gpuweb#2112), and Metal uses it: another invocation's word of the vector is lost.
  restOnly(() =>
    test('are the same if a store to a word of a vector writes the whole vector', async () => {
      const { gpu, changed } = miscompiling(
        /(kv\[[^\]]+\])\[([^\]]+)\] = ([^;]+);/g,
        '{ var whole = $1; whole[$2] = $3; $1 = whole; }',
      );
      const [plain, wholly] = [await engineUnderTest(bytes), await engineUnderTest(bytes, { gpu })];
      for (const form of ['q8', 'q4', 'q3', 'k3v2'] as const) {
        expect(await logitsWith(wholly, fixedForm(form))).toEqual(await logitsWith(plain, fixedForm(form)));
      }
      expect(changed()).toBeGreaterThan(0);
    }),
  );

  restOnly(() =>
    test('freed pages are not read: NaN in them changes nothing', async () => {
      const policies = [errorBudgetPolicy(0.1), fixedForm('q4')];
      for (const policy of policies) {
        const engine = await engineUnderTest(bytes);
        const clean = await logitsWith(engine, policy);
        const { transformer, device } = await engine.session();
        let poisoned = 0;
        for (const layer of transformer.cache.layers) {
          const remove = layer.remove.bind(layer);
          layer.remove = (page: LayerPage) => {
            remove(page);
            const { offset, units } = page.place;
            device.gpuDevice.queue.writeBuffer(
              layer.buffer,
              offset * UNIT_BYTES,
              new Uint16Array((units * UNIT_BYTES) / 2).fill(0x7e00),
            );
            poisoned++;
          };
        }
        const rows = await logitsWith(engine, policy);
        expect(poisoned).toBeGreaterThan(20);
        expect(rows).toEqual(clean);
        expect(rows.every((row) => row.every(Number.isFinite))).toBe(true);
      }
    }),
  );
});

describe('a request', () => {
  test('takes fewer bytes with a larger error budget, and reports live bytes', async () => {
    const gpu = countGpu();
    const engine = await engineUnderTest(bytes);
    const reports = [];
    for (const kv of [{}, ...[0, 0.05, 1].map((kvErrorBudget) => ({ kv: 'policy' as const, kvErrorBudget }))]) {
      const { end } = await ask(engine, kv);
      expect(engine.memory().total).toBe(gpu.liveBytes());
      reports.push(end.report.kv);
    }
    const [plain, nothing, ...others] = reports;
    expect(nothing).toEqual(plain);
    expect(plain?.layerErrors.every((error) => error === 0)).toBe(true);
    expect(total(plain?.bytes ?? {})).toBe(plain?.bytes.f16);
    const sizes = [plain, ...others].map((report) => total(report?.bytes ?? {}));
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    expect(sizes.at(-1)).toBeLessThan(0.6 * (sizes[0] ?? 0));
    const errors = others.map((report) => Math.max(...(report?.layerErrors ?? [])));
    expect(errors).toEqual([...errors].sort((a, b) => a - b));
    expect(errors.at(-1)).toBeGreaterThan(0.01);
    expect(errors.at(-1)).toBeLessThan(0.5);
    const { pages = {}, peakBytes = 0 } = others.at(-1) ?? {};
    expect(total(pages)).toBe(total(plain?.pages ?? {}));
    expect(peakBytes).toBeGreaterThanOrEqual(sizes.at(-1) ?? 0);
    expect(peakBytes).toBeLessThan(plain?.peakBytes ?? 0);
  });

  restOnly(() => {
    test('reports the true error of its layers: none without changes, and more with a larger budget', async () => {
      const engine = await engineUnderTest(bytes);
      const median = (errors: readonly number[] = []): number =>
        [...errors].sort((a, b) => a - b)[Math.floor(errors.length / 2)] ?? NaN;
      const found: number[] = [];
      for (const kvErrorBudget of [0, 0.05, 1]) {
        const { layerErrors, shadowErrors } = (await ask(engine, { kv: 'policy', kvErrorBudget, kvShadow: true })).end
          .report.kv;
        expect(shadowErrors).toHaveLength(layerErrors.length);
        found.push(median(shadowErrors));
      }
      expect(found[0]).toBe(0);
      expect(found[1]).toBeGreaterThan(1e-3);
      expect(found[2]).toBeGreaterThan(2 * (found[1] ?? NaN));
      expect(found[2]).toBeLessThan(0.5);
    });
  });

  restOnly(() =>
    test('reuses a prefix of its own policy only', async () => {
      const engine = await engineUnderTest(bytes);
      const policy = { kv: 'q4' as const };
      const first = await ask(engine, policy);
      const promptTokens = first.end.usage.promptTokens;
      const again = await ask(engine, policy);
      // No token can be added to a quantized page: the last page is computed again.
      expect(again.end.usage.cachedTokens).toBeGreaterThan(promptTokens - 33);
      expect(again.end.usage.cachedTokens).toBeLessThan(promptTokens);
      expect((await ask(engine, {})).end.usage.cachedTokens).toBe(0);
      expect((await ask(engine, { kv: 'q8' })).end.usage.cachedTokens).toBe(0);
    }),
  );

  restOnly(() => {
    test('is unaffected by a concurrent request with another policy', async () => {
      const alone = await ask(await engineUnderTest(bytes), {});
      const engine = await engineUnderTest(bytes);
      const other = 'The sea is what the winds are for, said the old one. '.repeat(9);
      const [beside, smaller] = await Promise.all([
        ask(engine, {}),
        ask(engine, { kv: 'policy', kvErrorBudget: 1 }, other),
      ]);
      expect(beside.tokens).toEqual(alone.tokens);
      expect(smaller.end.report.kv.bytes.f16).toBeLessThan(total(smaller.end.report.kv.bytes));
    });
  });
});
