import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ladderStore } from '../../cli/ranks.ts';
import { type AdapterModules, readAdapter } from '../../src/adapters/adapter-file.ts';
import { buildAdapterLadder, type LadderBuilder } from '../../src/adapters/rank-ladder.ts';
import { cachedLadders, type LadderStore } from '../../src/adapters/ladder-cache.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { Random } from '../support/random.ts';
import { ggufAdapter, peftSource, tinyAdapter, type TinyAdapter, tinyConfig } from '../support/models/tiny-adapter.ts';

const folder = await mkdtemp(join(tmpdir(), 'ladders-'));
afterAll(() => rm(folder, { recursive: true }));
const model = await tinyConfig();
const read = (adapter: TinyAdapter): Promise<AdapterModules> => readAdapter(peftSource(adapter), { config: model });

/** A builder over a store, and the number of ladders that were actually built. */
function counted(store: LadderStore): { build: LadderBuilder; builds: () => number } {
  let count = 0;
  const build = cachedLadders(store, async (adapter, options) => {
    count++;
    return buildAdapterLadder(adapter, options);
  });
  return { build, builds: () => count };
}

const fresh = (): Promise<string> => mkdtemp(join(folder, 'store-'));

test('a ladder is restored from a folder unchanged, with current warnings', async () => {
  const adapter = await read(tinyAdapter(model, { seed: 1, gain: 1e-9 }));
  const store = ladderStore(join(await fresh(), 'ladders'));
  const built = buildAdapterLadder(adapter);
  expect(built.warnings).toHaveLength(1);
  const { build, builds } = counted(store);
  expect(await build(adapter)).toEqual(built);
  expect(await build(adapter)).toEqual(built);
  const warned = await build({ ...adapter, warnings: ['of another base'] });
  expect(warned.warnings).toEqual(['of another base', ...built.warnings]);
  expect(builds()).toBe(1);
});

test('every input of a ladder is part of its cache key', async () => {
  const adapter = tinyAdapter(model, { seed: 2 });
  const wideHeads = await tinyConfig({ numHeads: 2, numKvHeads: 1 });
  const inGguf = { gguf: new BytesSource('a.gguf', ggufAdapter(adapter, model)) };
  const plain = await read(adapter);
  const rms = (odd: number): Map<string, Float32Array> => {
    const of = (channels: number): Float32Array => Float32Array.from({ length: channels }, (_, i) => (i % 2 ? odd : 1));
    return new Map(plain.modules.map(({ name, inFeatures }) => [name, of(inFeatures)]));
  };
  const { build, builds } = counted(ladderStore(await fresh()));
  const cases: Parameters<LadderBuilder>[] = [
    [plain],
    [await read(tinyAdapter(model, { seed: 3 }))],
    [await read(tinyAdapter(model, { seed: 2, alpha: 9 }))],
    [await readAdapter(inGguf, { config: model })],
    [await readAdapter(inGguf, { config: wideHeads })], // the same shapes, but with other rows paired
    [plain, { inputRms: rms(2) }],
    [plain, { inputRms: rms(3) }],
  ];
  for (const repeat of [1, 2]) {
    for (const [i, args] of cases.entries()) {
      expect(await build(...args)).toEqual(buildAdapterLadder(...args));
      expect(builds()).toBe(repeat === 1 ? i + 1 : cases.length);
    }
  }
});

test('a damaged or truncated ladder is rebuilt and replaced', async () => {
  const adapter = await read(tinyAdapter(model, { seed: 4, targets: ['k_proj'] }));
  const expected = buildAdapterLadder(adapter);
  const path = await fresh();
  const { build, builds } = counted(ladderStore(path));
  await build(adapter);
  const file = join(path, (await readdir(path))[0]!);
  const whole = new Uint8Array(await readFile(file));
  const random = new Random(4);
  const places = Array.from({ length: 164 }, (_, i) => (i < 64 ? i : random.below(whole.length)));
  const damaged = places.map((at, i) => {
    if (i % 4 === 3) return whole.slice(0, at);
    return whole.with(at, whole[at]! ^ (1 << random.below(8)));
  });
  damaged.push(new Uint8Array(), new Uint8Array([...whole, 0]), new Uint8Array(whole.length));
  for (const [i, bytes] of damaged.entries()) {
    await writeFile(file, bytes);
    expect(await build(adapter), `damage ${i}`).toEqual(expected);
    expect(builds(), `damage ${i}`).toBe(i + 2);
  }
  expect(new Uint8Array(await readFile(file))).toEqual(whole);
  await build(adapter);
  expect(builds()).toBe(damaged.length + 1);
});

test('a failing store only costs time', async () => {
  const adapter = await read(tinyAdapter(model, { seed: 5 }));
  await writeFile(join(folder, 'a-file'), '');
  const { build, builds } = counted(ladderStore(join(folder, 'a-file', 'no-folder')));
  expect(await build(adapter)).toEqual(buildAdapterLadder(adapter));
  await build(adapter);
  expect(builds()).toBe(2);
});

test('210 modules of rank 16 of the default model: time, first and restored', async () => {
  const layer = { numLayers: 1, hiddenSize: 576, intermediateSize: 1536, numHeads: 9, numKvHeads: 3 };
  const config = { ...(await tinyConfig(layer)), numLayers: 30 };
  const source = peftSource(tinyAdapter(config, { seed: 6, rank: 16, type: 'F16' }));
  const { build, builds } = counted(ladderStore(await fresh()));
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    const adapter = await readAdapter(source, { config });
    const middle = performance.now();
    const { modules } = await build(adapter);
    times.push(performance.now() - start);
    console.log(`load ${i + 1}: read ${(middle - start).toFixed(0)} ms, in all ${times[i]!.toFixed(0)} ms`);
    expect(modules).toHaveLength(210);
    expect(modules.every(({ rank }) => rank === 16)).toBe(true);
  }
  expect(builds()).toBe(1);
  expect(times[2]).toBeLessThan(times[0]!);
});
