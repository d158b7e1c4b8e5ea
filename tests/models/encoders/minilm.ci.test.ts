import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { closeAll, openSources } from '../../../src/node/model-files.ts';
import { napping } from '../../../tools/instruments/node-gpu.ts';
import { openEncoderEngine } from '../../../src/engine/encoder-engine.ts';
import { ensureEncoder } from '../../../tools/setup/fetch-encoder.ts';
import { lastingGpu } from '../../support/gpu/lasting-gpu.ts';
import { encoderFixture, encoderTokenizer } from '../../support/models/encoder-folder.ts';

/** Every twelfth component of transformers' vectors. */
const { texts, vectors } = encoderFixture('minilm.json') as { texts: string[]; vectors: number[][] };
const EVERY = 12;

let folder = '';
beforeAll(async () => {
  folder = await ensureEncoder();
});

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const cosine = (a: readonly number[], b: readonly number[]): number => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

// The loss from 8 bits per weight shows in every text.
test.each([
  ['F16', 40, 0.9999],
  ['Q8_0', 10, 0.999],
] as const)(
  "all-MiniLM-L6-v2's vectors are those of transformers: weights %s, %i texts",
  async (weights, count, least) => {
    const sources = await openSources(folder);
    const engine = await openEncoderEngine({ gpu: lastingGpu(), wait: napping, weights, sources });
    try {
      expect(engine.contextLength).toBe(256);
      // Evenly from the list.
      const every = texts.length / count;
      const chosen = Array.from({ length: count }, (_, i) => texts[i * every]!);
      const found: number[][] = [];
      for await (const { vector } of engine.embed(chosen, {})) found.push([...vector]);
      const cosines = found.map((vector, i) =>
        cosine(
          vector.filter((_, at) => at % EVERY === 0),
          vectors[i * every]!,
        ),
      );
      console.info(`${weights}: least cosine of ${cosines.length} texts ${Math.min(...cosines).toFixed(6)}`);
      expect(cosines).toHaveLength(count);
      expect(Math.min(...cosines)).toBeGreaterThanOrEqual(least);
      expect(found.every((vector) => Math.abs(dot(vector, vector) - 1) < 1e-5)).toBe(true);
    } finally {
      engine.dispose();
      await closeAll(sources);
    }
  },
);

test('tokens of 2,000 random strings match huggingface/tokenizers', async () => {
  const tokenizer = await encoderTokenizer(await readFile(join(folder, 'tokenizer.json'), 'utf8'));
  const { texts: strings, ids } = encoderFixture('strings.json') as { texts: string[]; ids: number[][] };
  const wrong = strings.filter((text, i) => tokenizer.encode(text, { addSpecial: false }).join() !== ids[i]!.join());
  expect(wrong).toEqual([]);
  expect(strings).toHaveLength(2000);
});

test('tokens of unusual strings match huggingface/tokenizers', async () => {
  const tokenizer = await encoderTokenizer(await readFile(join(folder, 'tokenizer.json'), 'utf8'));
  const { texts: odd, minilm } = encoderFixture('word-piece.json') as { texts: string[]; minilm: number[][] };
  const typed = odd.filter((text) => !text.includes('[CLS]'));
  expect(typed.map((text) => tokenizer.encode(text))).toEqual(typed.map((text) => minilm[odd.indexOf(text)]));
});
