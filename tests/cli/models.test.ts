import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bench } from '../../cli/commands/bench.ts';
import { generate } from '../../cli/commands/generate.ts';
import { logits } from '../../cli/commands/logits.ts';
import { wgsl } from '../../cli/commands/wgsl.ts';
import { adapterUses } from '../../cli/open-model.ts';
import { expectError } from '../support/expect-error.ts';
import { expectFigures, expectLogits, FIXTURES, MODEL } from './model-commands.ts';

test('--model model.safetensors: the logits are those of transformers', () =>
  expectLogits('llama/model.safetensors', 'llama'));

type Figures = Record<string, number>;

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

test('bench prefill has the common figures', () => expectFigures('prefill'));

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
  await expectError(() => generate(['--model', 'x', '--prompt', 'Hi', '--precision', 'low']), 'bad_request', {
    field: '--precision',
  });
});
