import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { bench } from '../../cli/commands/bench.ts';
import { logits } from '../../cli/commands/logits.ts';
import { expectedLogits, expectedOf } from '../support/models/safetensors-folder.ts';
import { nmse } from '../support/nmse.ts';
import { NMSE } from '../support/tolerances.ts';

export const FIXTURES = join(import.meta.dirname, '../fixtures/safetensors');
/** The smallest model, whose kernels compile fast. */
export const MODEL = ['--model', join(FIXTURES, 'llama')];

/** Expects that the logits of the model at `path` among the fixtures are those of transformers, known by `name`. */
export async function expectLogits(path: string, name: string): Promise<void> {
  const { ids } = expectedOf(name);
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-logits-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const out = join(folder, 'logits');
  const flags = ['--model', join(FIXTURES, path), '--weights', 'stored', '--tokens', ids.join(), '--out', out];
  const { shape } = (await logits(flags)).json as { shape: [number, number] };
  const all = new Float32Array(Uint8Array.from(readFileSync(out)).buffer);
  const last = Array.from({ length: 4 }, (_, i) =>
    all.subarray((shape[0] - 4 + i) * shape[1], (shape[0] - 3 + i) * shape[1]),
  );
  expect(nmse(last, expectedLogits(name))).toBeLessThan(NMSE.reference);
}

/** Expects the figures that all benchmarks have. */
export async function expectFigures(what: string): Promise<void> {
  const { results } = (await bench([what, ...MODEL, '-T', '32'])).json as { results: [Record<string, unknown>] };
  const [result] = results;
  expect(result).toMatchObject({
    context: 32,
    msPerToken: { median: expect.any(Number) as number, p95: expect.any(Number) as number },
  });
  for (const name of ['dispatchesPerToken', 'gbPerSecond', 'ratioToStreamingRead'])
    expect(result[name]).toBeGreaterThan(0);
}
