import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { f32, writeGguf } from '../support/models/gguf-writer.ts';
import { Random } from '../support/random.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { centredLogProbs, ensureLlama, generateGreedy, perplexity, tokenize } from './llama.ts';

const TOKENS = Array.from({ length: 24 }, (_, i) => 3 + ((i * 37) % 260));
let folder: string;
let model: string;

beforeAll(ensureLlama, 300_000);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'llama-test-'));
  model = join(folder, 'tiny.gguf');
  writeFileSync(model, tinyModel({ architecture: 'llama', type: 'F32', seed: 1 }));
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("llama.cpp's side of the comparisons", () => {
  it('gives centred log-probabilities of the whole vocabulary at every position', async () => {
    const rows = await centredLogProbs(model, TOKENS);
    expect(rows).toHaveLength(TOKENS.length);
    for (const row of rows) {
      expect(row).toHaveLength(273);
      expect(Math.abs(row.reduce((sum, x) => sum + x, 0) / row.length)).toBeLessThan(1e-6);
      // A filtering sampler would leave probabilities of 0, far below a random model's few nats.
      expect(Math.min(...row)).toBeGreaterThan(-20);
    }
  });

  it('is consistent: perplexity and greedy text follow from the log-probabilities', async () => {
    const rows = await centredLogProbs(model, TOKENS);
    const { nlls, perplexity: value } = await perplexity(model, TOKENS);
    const expected = TOKENS.slice(1).map((token, position) => {
      const row = rows[position]!;
      return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[token]!;
    });
    nlls.forEach((nll, i) => expect(nll).toBeCloseTo(expected[i]!, 4));
    expect(Math.log(value)).toBeCloseTo(expected.reduce((sum, nll) => sum + nll, 0) / expected.length, 4);

    const last = rows.at(-1)!;
    expect(await generateGreedy(model, TOKENS, 1)).toEqual([last.indexOf(Math.max(...last))]);
  });

  it('applies an adapter by its scale, and leaves the base unchanged', async () => {
    const random = new Random(4);
    const matrix = (name: string, shape: [number, number]) => {
      const bytes = new Uint8Array(random.normals(shape[0] * shape[1], 0.1).buffer);
      return { name: `blk.0.attn_q.weight.${name}`, shape, type: 'F32' as const, bytes };
    };
    const path = join(folder, 'adapter.gguf');
    const metadata = {
      'general.type': 'adapter',
      'general.architecture': 'llama',
      'adapter.type': 'lora',
      'adapter.lora.alpha': f32(8),
    };
    writeFileSync(path, writeGguf({ metadata, tensors: [matrix('lora_a', [4, 256]), matrix('lora_b', [256, 4])] }));

    const base = await centredLogProbs(model, TOKENS);
    const full = await centredLogProbs(model, TOKENS, { path });
    expect(full).not.toEqual(base);
    expect(await centredLogProbs(model, TOKENS, { path, scale: 1 })).toEqual(full);
    expect(await centredLogProbs(model, TOKENS, { path, scale: 0 })).toEqual(base);
    expect(await centredLogProbs(model, TOKENS)).toEqual(base);
  });

  it('answers after a model that fails to load', async () => {
    const broken = join(folder, 'broken.gguf');
    writeFileSync(broken, tinyModel({ architecture: 'llama', type: 'F32', seed: 1 }).subarray(0, 3000));
    await expect(tokenize(broken, ['a'])).rejects.toThrow(/llama\.cpp/);
    expect((await tokenize(model, ['a']))[0]).toHaveLength(1);
  });
});
