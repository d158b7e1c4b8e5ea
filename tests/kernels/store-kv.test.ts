import { expect, it } from 'vitest';
import { type Heads, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { storeKvKernel } from '../../src/kernels/pages.ts';
import { elementOf } from '../reference/kernels/paged-heads.ts';
import { type QkNorm, storeKv } from '../reference/kernels/store-kv.ts';
import { Random } from '../support/random.ts';
import { expectClose } from '../support/kernels/expect-close.ts';
import {
  cacheElements,
  fromHalves,
  pagedHeads,
  pageTable,
  ropeOf,
  shuffledPages,
  tableOf,
  toHalves,
} from '../support/kernels/pages.ts';
import { describeVariants, HALF_VARIANTS, type Runner } from '../support/kernels/runner.ts';
import { byTier } from '../support/tier.ts';

const headsOf = (headDim: number, numHeads: number, numKvHeads: number, qkNorm = false, valueNorm = false): Heads => ({
  ...{ headDim, numHeads, numKvHeads, qkNorm, valueNorm },
  rmsNormEps: 1e-6,
});

const FEW_HEADS = [headsOf(80, 8, 8), headsOf(64, 9, 9, true), headsOf(256, 8, 2, true, true)];
const HEADS = byTier(FEW_HEADS, [
  ...FEW_HEADS,
  headsOf(32, 4, 1),
  headsOf(96, 3, 1, false, true),
  headsOf(128, 4, 2, true),
  headsOf(512, 8, 1, true, true),
]);

interface Stored {
  qkv: Float32Array;
  kv: Uint16Array;
}

/** `qkv` and a cache filled with `before`, after the kernel. */
async function store(
  runner: Runner,
  heads: Heads,
  batch: { qkv: Float32Array; before: Uint16Array; pages: Uint32Array; position: number; rope: Float32Array },
  norms?: QkNorm,
  stores = true,
): Promise<Stored> {
  const qkv = runner.upload(batch.qkv);
  const kv = runner.upload(batch.before);
  const { numHeads, numKvHeads, headDim } = heads;
  const tokens = batch.qkv.length / ((numHeads + 2 * numKvHeads) * headDim);
  const bounds = {
    ...{ qkv, kv, pages: runner.upload(pageTable(heads, batch.pages)), rope: runner.upload(batch.rope) },
    batch_table: runner.upload(tableOf(tokens, batch.position)),
    ...(norms && { query_norm_weight: runner.upload(norms.query), key_norm_weight: runner.upload(norms.key) }),
  };
  runner.run(storeKvKernel(runner.device, heads, stores), bounds, { tokens });
  const stored = new Uint16Array(await runner.read(kv));
  return { qkv: await runner.floats(qkv), kv: stored };
}

describeVariants(HALF_VARIANTS, (getRunner, variant) => {
  it.each(variant.endsWith('f16') ? HEADS.slice(0, 2) : HEADS)(
    'stores $numKvHeads heads of $headDim (norms: $qkNorm, of values: $valueNorm)',
    async (heads) => {
      const random = new Random(7);
      const { numHeads, numKvHeads, headDim, qkNorm, rmsNormEps: eps } = heads;
      const width = (numHeads + 2 * numKvHeads) * headDim;
      const norms = qkNorm
        ? { query: random.normals(headDim, 0.5, 1), key: random.normals(headDim, 0.5, 1), eps }
        : undefined;
      for (const [position, tokens] of [
        [0, 1],
        [31, 1],
        [32, 1],
        [5, 3],
        [29, 7],
        [0, 32],
        [33, 65],
      ] as const) {
        if (!FEW_HEADS.includes(heads) && tokens === 1) continue; // pages do not depend on heads
        const qkv = random.normals(tokens * width, 4);
        const pages = shuffledPages(position + tokens, random);
        const rope = ropeOf(headDim, position + tokens + PAGE_TOKENS);
        const before = toHalves(random.normals(cacheElements(heads, pages)));
        const got = await store(getRunner(), heads, { qkv, before, pages, position, rope }, norms);
        const wantQkv = Float64Array.from(qkv);
        const wantKv = fromHalves(before);
        storeKv(pagedHeads(heads, pages), wantQkv, wantKv, position, {
          rope,
          qkNorm: norms,
          valueEps: heads.valueNorm ? eps : undefined,
        });
        // Rotation may cancel terms: the error is a rounding of the element to f16 and one of the largest element to f32.
        expectClose('store-kv', fromHalves(got.kv), wantKv, (i) => Math.abs(wantKv[i] ?? 0) + 4e-3);
        expectClose('rms-norm', got.qkv, wantQkv);
        if (!qkNorm) expect(got.qkv).toEqual(qkv);
      }
    },
  );

  it('only norms queries of a layer without keys', async () => {
    for (const heads of [headsOf(64, 9, 3, true, true), headsOf(512, 3, 1, true, true)]) {
      const random = new Random(9);
      const { numHeads, numKvHeads, headDim, rmsNormEps: eps } = heads;
      const norms = { query: random.normals(headDim, 0.5, 1), key: random.normals(headDim, 0.5, 1), eps };
      const qkv = random.normals(5 * (numHeads + 2 * numKvHeads) * headDim, 4);
      const pages = shuffledPages(7, random);
      const rope = ropeOf(headDim, 7 + PAGE_TOKENS);
      const before = toHalves(random.normals(cacheElements(heads, pages)));
      const got = await store(getRunner(), heads, { qkv, before, pages, position: 2, rope }, norms, false);
      const wantQkv = Float64Array.from(qkv);
      storeKv(pagedHeads(heads, pages), wantQkv, fromHalves(before), 2, { rope, qkNorm: norms });
      expect(got.kv).toEqual(before);
      expectClose('rms-norm', got.qkv, wantQkv);
    }
  });

  it('clamps values to the largest f16', async () => {
    const heads = headsOf(64, 1, 1);
    const qkv = new Float32Array(3 * 64).fill(1e5);
    qkv.fill(0, 2 * 64);
    qkv[2 * 64 + 32] = 1e7; // the rotation spreads it over all components, half of them negative
    const pages = Uint32Array.of(0);
    const batch = {
      qkv,
      before: new Uint16Array(cacheElements(heads, pages)),
      pages,
      position: 0,
      rope: ropeOf(64, PAGE_TOKENS),
    };
    const { kv } = await store(getRunner(), heads, batch);
    const at = (part: 'key' | 'value') => elementOf(pagedHeads(heads, pages), part, 0, 0);
    expect([...fromHalves(kv.slice(at('key'), at('key') + 64))]).toEqual(Array<number>(64).fill(65504));
    const value = [...fromHalves(kv.slice(at('value'), at('value') + 64))];
    expect(value).toEqual([...Array<number>(32).fill(65504), ...Array<number>(32).fill(-65504)]);
  });

  it('stores the same bits for the same key at the same offset of any page', async () => {
    const heads = headsOf(64, 2, 1);
    const random = new Random(8);
    const qkv = random.normals(4 * 64);
    const pages = Uint32Array.of(2, 0, 1);
    const rope = ropeOf(64, 3 * PAGE_TOKENS);
    const before = new Uint16Array(cacheElements(heads, pages));
    const keys = [];
    for (const position of [9, 9 + PAGE_TOKENS, 9 + 2 * PAGE_TOKENS]) {
      const { kv } = await store(getRunner(), heads, { qkv, before, pages, position, rope });
      const at = elementOf(pagedHeads(heads, pages), 'key', 0, position);
      keys.push(kv.slice(at, at + 64));
    }
    expect(keys[0]?.some((half) => half !== 0)).toBe(true);
    expect(keys[1]).toEqual(keys[0]);
    expect(keys[2]).toEqual(keys[0]);
  });
});
