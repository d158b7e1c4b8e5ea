import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generate } from '../../cli/commands/generate.ts';
import { perplexity } from '../../cli/commands/perplexity.ts';
import { expectFigures, expectLogits, MODEL } from './model-commands.ts';

const PROSE = join(import.meta.dirname, '../support/prose.txt');

test('--model FOLDER: the logits are those of transformers', () => expectLogits('llama3', 'llama3'));

type Figures = Record<string, number>;
const sumOf = (figures: Figures): number => Object.values(figures).reduce((sum, each) => sum + each, 0);

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
});

test('bench kernels has the common figures', () => expectFigures('kernels'));
