import { expect, test } from 'vitest';
import { readAdapter } from '../../src/adapters/adapter-file.ts';
import type { AdapterModule } from '../../src/adapters/adapter-file.ts';
import type { AdapterSource } from '../../src/adapters/adapter-header.ts';
import { buildAdapterLadder } from '../../src/adapters/adapter-ladder.ts';
import type { AdapterLadder } from '../../src/adapters/adapter-ladder.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { BytesSource } from '../weights/bytes-source.ts';
import { Random } from '../weights/random.ts';
import { CONFIG_FILE, ggufAdapter, peftWeights, tinyAdapter, tinyConfig, WEIGHTS_FILE } from './tiny-adapter.ts';

const model = await tinyConfig({ numLayers: 1 });
const patterns = { rank_pattern: { up_proj: 4 }, alpha_pattern: { up_proj: 3 } };
const adapter = tinyAdapter(model, { seed: 1, config: patterns });
const config = new TextEncoder().encode(JSON.stringify(adapter.config));
const weights = peftWeights(adapter);
const gguf = ggufAdapter(adapter, model);

/** An adapter that loads is whole and finite, and so is its ladder; anything thrown names its file, and where in it. */
async function load(source: AdapterSource, what: string): Promise<boolean> {
  const start = performance.now();
  try {
    const read = await readAdapter(source, { config: model });
    const { modules } = read;
    expect(modules.length, what).toBeGreaterThan(0);
    for (const { a, b, rank, scale, inFeatures, outFeatures } of modules) {
      expect([a.length, b.length], what).toEqual([rank * inFeatures, outFeatures * rank]);
      expect(Number.isFinite(scale) && a.every(Number.isFinite) && b.every(Number.isFinite), what).toBe(true);
    }
    checkLadder(buildAdapterLadder(read), modules, what);
    return true;
  } catch (error) {
    if (!(error instanceof ChunkwiseError)) throw new Error(`${what}: ${String(error)}`, { cause: error });
    expect(['bad_file', 'unsupported'], what).toContain(error.code);
    expect([CONFIG_FILE, WEIGHTS_FILE, 'a.gguf'], what).toContain(error.detail.file);
    expect(error.detail.reason, what).not.toBe('');
    return false;
  } finally {
    expect(performance.now() - start, what).toBeLessThan(2000);
  }
}

function checkLadder({ modules, halfError }: AdapterLadder, read: readonly AdapterModule[], what: string): void {
  expect(modules.map(({ name }) => name), what).toEqual(read.map(({ name }) => name));
  expect(halfError >= 0 && halfError <= 2, what).toBe(true);
  modules.forEach(({ rank, inFeatures, outFeatures, a, bTransposed, singularValues }, i) => {
    expect(rank, what).toBeLessThanOrEqual(read[i]!.rank);
    expect([a.length, bTransposed.length], what).toEqual([rank * inFeatures, rank * outFeatures]);
    expect(singularValues.length, what).toBe(rank);
    const isOrdered = singularValues.every((value, k) => value > 0 && value <= (singularValues[k - 1] ?? 1e300));
    expect(isOrdered, what).toBe(true);
    expect([a, bTransposed].every((halves) => halves.every((half) => (half & 0x7c00) !== 0x7c00)), what).toBe(true);
  });
}

const VALUES = [null, true, 0, -1, 1e308, 0.5, '', 'q_proj', '(', [], ['v_proj'], [1], {}, { q_proj: 4 }, { '(': 1 }];

/** Puts a strange value into one field, at random into a nested one. */
function mutateConfig(random: Random): [string, Uint8Array] {
  const fields = Object.keys(adapter.config);
  const field = fields[random.below(fields.length)]!;
  const value = VALUES[random.below(VALUES.length)];
  const changed = { ...adapter.config, [field]: random.below(3) === 0 ? { [field]: value } : value };
  return [`${field} = ${JSON.stringify(value)}`, new TextEncoder().encode(JSON.stringify(changed))];
}

function mutateBytes(original: Uint8Array, reach: number, random: Random): [string, Uint8Array] {
  const bytes = original.slice();
  const at = random.below(reach);
  const kind = random.below(4);
  if (kind === 0) bytes[at]! ^= 1 << random.below(8);
  else if (kind === 1) bytes[at] = 0x30 + random.below(10);
  else if (kind === 2) for (let i = 0; i < 8; i++) bytes[at + i] = random.below(256);
  else return [`cut at ${at}`, bytes.slice(0, at)];
  return [`kind ${kind} at ${at}`, bytes];
}

test('500 mutations of config, header and tensors each load whole or are refused by name', async () => {
  const random = new Random(500);
  let refused = 0;
  for (let i = 0; i < 500; i++) {
    const part = i % 5;
    const source = { config: new BytesSource(CONFIG_FILE, config), weights: new BytesSource(WEIGHTS_FILE, weights) };
    let loaded: boolean;
    if (part === 4) {
      const [what, bytes] = mutateBytes(gguf, i % 2 === 0 ? 2000 : gguf.length - 8, random);
      loaded = await load({ gguf: new BytesSource('a.gguf', bytes) }, `gguf ${i}: ${what}`);
    } else if (part < 2) {
      const [what, bytes] = part === 0 ? mutateConfig(random) : mutateBytes(config, config.length - 8, random);
      loaded = await load({ ...source, config: new BytesSource(CONFIG_FILE, bytes) }, `config ${i}: ${what}`);
    } else {
      const [what, bytes] = mutateBytes(weights, part === 2 ? 2400 : weights.length - 8, random);
      loaded = await load({ ...source, weights: new BytesSource(WEIGHTS_FILE, bytes) }, `weights ${i}: ${what}`);
    }
    if (!loaded) refused++;
  }
  console.log(`${refused} of 500 refused`);
  // Most must matter, or the mutations test nothing; some change a number into another.
  expect(refused).toBeGreaterThan(200);
  expect(refused).toBeLessThan(500);
});
