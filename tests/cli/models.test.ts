import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { bench } from '../../cli/commands/bench.ts';
import { generate } from '../../cli/commands/generate.ts';
import { logits } from '../../cli/commands/logits.ts';
import { perplexity } from '../../cli/commands/perplexity.ts';
import { wgsl } from '../../cli/commands/wgsl.ts';
import type { Output } from '../../cli/output.ts';
import type { KvReport } from '../../src/cache/kv-report.ts';
import type { MemoryReport } from '../../src/config/memory-report.ts';
import { nmse } from '../engine/nmse.ts';
import { VARIED_TEXT } from '../engine/plan-cases.ts';
import { NMSE } from '../engine/tolerances.ts';
import { expectError } from '../weights/expect-error.ts';
import { expectedLogits, expectedOf } from '../weights/safetensors-folder.ts';
import { tinyFiles } from './tiny-files.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/safetensors');

test.each(['llama', 'llama/model.safetensors', 'llama3', 'llama3/model-00001-of-00002.safetensors'])('--model %s: the logits are those of transformers', async (path) => {
  const { at } = await tinyFiles({});
  const name = path.split('/')[0]!;
  const { ids } = expectedOf(name);
  const flags = ['--model', join(FIXTURES, path), '--weights', 'stored', '--tokens', ids.join(), '--out', at('logits')];
  const { shape } = (await logits(flags)).json as { shape: [number, number] };
  const all = new Float32Array(Uint8Array.from(readFileSync(at('logits'))).buffer);
  const last = Array.from({ length: 4 }, (_, i) => all.subarray((shape[0] - 4 + i) * shape[1], (shape[0] - 3 + i) * shape[1]));
  expect(nmse(last, expectedLogits(name))).toBeLessThan(NMSE.reference);
});

const sumOf = (figures: object): number => Object.values(figures).reduce((sum: number, each: number) => sum + each, 0);

test.each<[string, (flags: string[], text: string) => Promise<Output>]>([
  ['perplexity', (flags, text) => perplexity([...flags, '--text', text, '--context', '200'])],
  ['generate', (flags) => generate([...flags, '--prompt', VARIED_TEXT, '--max-tokens', '2'])],
])('%s reports the memory that its text had at its end, and the most there was', async (_, run) => {
  const { at, flags } = await tinyFiles({ 'text.txt': VARIED_TEXT });
  const { memory, memoryPeak, kv } = (await run(flags, at('text.txt'))).json as Record<'memory' | 'memoryPeak', MemoryReport> & { kv: KvReport };
  expect(sumOf(kv.bytes)).toBeGreaterThan(0);
  expect(memory.kv).toBeGreaterThanOrEqual(sumOf(kv.bytes));
  expect(sumOf(memory)).toBe(2 * memory.total);
  expect(sumOf(memoryPeak)).toBe(2 * memoryPeak.total);
  expect(memoryPeak.total).toBeGreaterThanOrEqual(memory.total);
});

test('an adapter named twice counts twice, without a warning; a scale that is none is an error', async () => {
  const { at, flags } = await tinyFiles({});
  const run = async (...adapters: string[]): Promise<Buffer> => {
    const named = adapters.flatMap((adapter) => ['--adapter', adapter]);
    await logits(['--model', at('model.gguf'), ...named, '--text', 'Hello', '--out', at('logits'), '--ranks', 'uniform']);
    return readFileSync(at('logits'));
  };
  const adapter = flags[3]!;
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    expect((await run(adapter, `${adapter}:0.5`)).equals(await run(`${adapter}:1.5`))).toBe(true);
    expect(stderr.mock.calls).toEqual([]);
  } finally {
    stderr.mockRestore();
  }
  await expectError(() => run(`${adapter}:1.2.3`), 'bad_request', { field: '--adapter' });
});

test('wgsl gives what is compiled of a kernel', async () => {
  const { flags } = await tinyFiles({});
  const { texts } = (await wgsl(['attention', ...flags])).json as { texts: string[] };
  expect(texts).toHaveLength(2); // for pages in f16 alone, and for all forms
  for (const text of texts) expect(text).toMatch(/@compute/);
  await expectError(() => wgsl(['nothing', ...flags]), 'bad_request', { field: 'KERNEL', reason: /attention-merge.*lora-delta.*sample-draw/ });
});

test.each(['prefill', 'kernels', 'attention'])('bench %s has the figures that all share', async (what) => {
  const { flags } = await tinyFiles({});
  const { results } = (await bench([what, ...flags, '-T', '64', '--kv', 'dense'])).json as { results: Record<string, number>[] };
  for (const result of results) {
    expect(result).toMatchObject({ context: 64, msPerToken: { median: expect.any(Number), p95: expect.any(Number) } });
    for (const name of ['dispatchesPerToken', 'gbPerSecond', 'ratioToStreamingRead']) expect(result[name]).toBeGreaterThan(0);
  }
});

test('flags that mean nothing to a command are refused', async () => {
  const { at, flags } = await tinyFiles({});
  await expectError(() => logits([...flags, '--text', 'Hi', '--out', at('x'), '--kv-shadow']), 'bad_request', { field: '--kv-shadow' });
  await expectError(() => bench(['decode', ...flags, '--streams', '2', '--save-plan', at('x')]), 'bad_request', { field: '--save-plan' });
  await expectError(() => generate([...flags, '--prompt', 'Hi', '--weights', 'Q5_0']), 'bad_request', { field: '--weights' });
});
