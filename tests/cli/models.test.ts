import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bench } from '../../cli/commands/bench.ts';
import { generate } from '../../cli/commands/generate.ts';
import { logits } from '../../cli/commands/logits.ts';
import { perplexity } from '../../cli/commands/perplexity.ts';
import { wgsl } from '../../cli/commands/wgsl.ts';
import { adapterUses } from '../../cli/open-model.ts';
import { nmse } from '../support/nmse.ts';
import { NMSE } from '../support/tolerances.ts';
import { expectError } from '../support/expect-error.ts';
import { expectedLogits, expectedOf } from '../support/models/safetensors-folder.ts';
import { byTier, restOnly } from '../support/tier.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/safetensors');
const PROSE = join(import.meta.dirname, '../support/prose.txt');
/** The smallest model, whose kernels compile fast. */
const MODEL = ['--model', join(FIXTURES, 'llama')];

test.each(byTier(['llama/model.safetensors'], ['llama/model.safetensors', 'llama3']))(
  '--model %s: the logits are those of transformers',
  async (path) => {
    const name = path.split('/')[0]!;
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
  },
);

type Figures = Record<string, number>;
const sumOf = (figures: Figures): number => Object.values(figures).reduce((sum, each) => sum + each, 0);

restOnly(() =>
  test('perplexity and generate report a text’s memory at its end and at its peak', async () => {
    const outputs = [
      await perplexity([...MODEL, '--text', PROSE, '--context', '60', '--max-tokens', '100']),
      await generate([...MODEL, '--json', '--prompt', 'The theory of the thing', '--max-tokens', '2']),
    ];
    for (const { json } of outputs) {
      const { memory, memoryPeak, kv } = json as { memory: Figures; memoryPeak: Figures; kv: { bytes: Figures } };
      expect(sumOf(kv.bytes)).toBeGreaterThan(0);
      expect(memory['kv']).toBeGreaterThanOrEqual(sumOf(kv.bytes));
      expect([sumOf(memory), sumOf(memoryPeak)]).toEqual([2 * memory['total']!, 2 * memoryPeak['total']!]);
      expect(memoryPeak['total']).toBeGreaterThanOrEqual(memory['total']!);
    }
  }),
);

test('--draft-model loads beside the model, and the answer stays the same', async () => {
  const prompt = ['--json', '--prompt', 'The theory of the thing', '--max-tokens', '12', '--speculate'];
  const [plain, drafted] = [
    await generate([...MODEL, ...prompt]),
    await generate([...MODEL, ...prompt, '--draft-model', join(FIXTURES, 'llama')]),
  ].map(({ json }) => json as { tokens: number[]; memory: Figures; memoryPeak: Figures });
  expect(drafted?.tokens).toEqual(plain?.tokens);
  expect(drafted?.memory['weights']).toBe(2 * plain!.memory['weights']!);
  expect(drafted!.memoryPeak['total']!).toBeGreaterThanOrEqual(drafted!.memory['total']!);
  await expectError(() => generate([...MODEL, ...prompt, '--draft-model', '/none.gguf']), 'bad_file', {
    file: '/none.gguf',
  });
});

test('an adapter that is given twice counts twice', async () => {
  const uses = [
    { name: 'a', scale: 1.5 },
    { name: 'b:c', scale: -2 },
    { name: 'C:\\d', scale: 1 },
  ];
  expect(adapterUses(['a', 'b:c:-2', 'a:0.5', 'C:\\d'])).toEqual(uses);
  for (const flag of ['a:1.2.3', ':3', ''])
    await expectError(() => adapterUses([flag]), 'bad_request', { field: '--adapter' });
});

test('wgsl prints the compiled WGSL of a kernel', async () => {
  const { texts } = (await wgsl(['attention', ...MODEL])).json as { texts: string[] };
  expect(texts).toHaveLength(2); // for pages in f16 alone, and for all forms
  for (const text of texts) expect(text).toMatch(/@compute/);
  const refused = () => wgsl(['nothing', ...MODEL]);
  await expectError(refused, 'bad_request', {
    field: 'KERNEL',
    reason: /attention-merge.*linear-decode.*sample-token/,
  });
});

test.each(byTier(['prefill'], ['prefill', 'kernels']))('bench %s has the common figures', async (what) => {
  const { results } = (await bench([what, ...MODEL, '-T', '32'])).json as { results: [Record<string, unknown>] };
  const [result] = results;
  expect(result).toMatchObject({
    context: 32,
    msPerToken: { median: expect.any(Number) as number, p95: expect.any(Number) as number },
  });
  for (const name of ['dispatchesPerToken', 'gbPerSecond', 'ratioToStreamingRead'])
    expect(result[name]).toBeGreaterThan(0);
});

test('bench refuses lengths beyond the model’s context', async () => {
  await expectError(() => bench(['decode', ...MODEL, '-T', '16,120', '--steps', '8']), 'bad_request', {
    field: '--lengths',
    reason: /^120 tokens, and 10 after them, exceed the context of 128$/,
  });
});

test('flags without meaning for a command, or that cannot be honoured, are refused', async () => {
  await expectError(() => logits(['--text', 'Hi', '--out', 'x', '--kv-shadow']), 'bad_request', {
    field: '--kv-shadow',
  });
  await expectError(() => bench(['decode', '--streams', '2', '--save-plan', 'x']), 'bad_request', {
    field: '--save-plan',
  });
  await expectError(() => bench(['kernels', '--plan', 'x']), 'bad_request', { field: '--plan' });
  for (const what of ['taste', 'constructor'])
    await expectError(() => bench([what]), 'bad_request', { field: 'bench', reason: /one of decode/ });
  const out = join(FIXTURES, 'none/x');
  await expectError(() => logits([...MODEL, '--tokens', '5', '--out', out]), 'bad_request', {
    file: out,
    field: '--out',
  });
  await expectError(() => generate(['--model', 'x', '--prompt', 'Hi', '--weights', 'Q5_0']), 'bad_request', {
    field: '--weights',
  });
});
