import { expect, test } from 'vitest';
import type { AdapterSource } from '../../src/adapters/formats/adapter-header.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { loadAdapter } from '../support/adapters/loaded-adapter.ts';
import { mutatedAdapters } from '../support/adapters/mutated-adapters.ts';
import { CONFIG_FILE, tinyConfig, WEIGHTS_FILE } from '../support/models/tiny-adapter.ts';

const model = await tinyConfig({ numLayers: 1 });

/** An adapter that loads is whole and finite, and so is its ladder; anything thrown names its file, and where in it. */
async function load(source: AdapterSource, what: string): Promise<boolean> {
  const start = performance.now();
  try {
    await loadAdapter(source, model);
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

test('500 mutations of config, header and tensors each load whole or are refused by name', async () => {
  let refused = 0;
  for (const { what, source } of mutatedAdapters(model, 500)) if (!(await load(source, what))) refused++;
  console.log(`${refused} of 500 refused`);
  // Most must matter, or the mutations test nothing; some change a number into another.
  expect(refused).toBeGreaterThan(200);
  expect(refused).toBeLessThan(500);
});
