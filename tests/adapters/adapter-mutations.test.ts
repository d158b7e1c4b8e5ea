import { expect, test } from 'vitest';
import type { AdapterSource } from '../../src/adapters/adapter-header.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { loadAdapter } from '../support/adapters/loaded-adapter.ts';
import { mutatedAdapters } from '../support/adapters/mutated-adapters.ts';
import { cpuMs } from '../support/cpu-time.ts';
import { CONFIG_FILE, tinyConfig, WEIGHTS_FILE } from '../support/models/tiny-adapter.ts';

const model = await tinyConfig({ numLayers: 1 });

/** Expects that a loaded adapter and its ladder are complete and finite, and that an error names the file and field. */
async function load(source: AdapterSource, what: string): Promise<boolean> {
  const start = cpuMs();
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
    expect(cpuMs() - start, what).toBeLessThan(2000);
  }
}

test('500 mutations of config, header and tensors either load completely or are refused by name', async () => {
  let refused = 0;
  for (const { what, source } of mutatedAdapters(model, 500)) if (!(await load(source, what))) refused++;
  console.log(`${refused} of 500 refused`);
  // Most mutations must be refused, or they test nothing; some change a number into another valid one.
  expect(refused).toBeGreaterThan(200);
  expect(refused).toBeLessThan(500);
});
