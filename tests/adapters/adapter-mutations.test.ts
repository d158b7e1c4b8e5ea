import { expect, test } from 'vitest';
import { readAdapter } from '../../src/adapters/adapter-file.ts';
import type { AdapterModule } from '../../src/adapters/adapter-file.ts';
import type { AdapterSource } from '../../src/adapters/adapter-header.ts';
import { buildAdapterLadder } from '../../src/adapters/adapter-ladder.ts';
import type { AdapterLadder } from '../../src/adapters/adapter-ladder.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { mutatedAdapters } from './mutated-adapters.ts';
import { CONFIG_FILE, tinyConfig, WEIGHTS_FILE } from './tiny-adapter.ts';

const model = await tinyConfig({ numLayers: 1 });

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

test('500 mutations of config, header and tensors each load whole or are refused by name', async () => {
  let refused = 0;
  for (const { what, source } of mutatedAdapters(model, 500)) if (!(await load(source, what))) refused++;
  console.log(`${refused} of 500 refused`);
  // Most must matter, or the mutations test nothing; some change a number into another.
  expect(refused).toBeGreaterThan(200);
  expect(refused).toBeLessThan(500);
});
