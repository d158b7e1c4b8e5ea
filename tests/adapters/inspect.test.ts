import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { inspect } from '../../cli/commands/inspect.ts';
import { expectError } from '../support/expect-error.ts';
import { writeGguf } from '../support/models/gguf-writer.ts';
import {
  CONFIG_FILE,
  ggufAdapter,
  peftWeights,
  tinyAdapter,
  tinyConfig,
  WEIGHTS_FILE,
} from '../support/models/tiny-adapter.ts';

const directory = await mkdtemp(join(tmpdir(), 'adapter-'));
afterAll(() => rm(directory, { recursive: true }));

interface Inspected {
  format: string;
  supported: boolean;
  reason: string | null;
  rank: number;
  alpha: number;
  modules: { name: string; shape: number[]; rank: number; scale: number }[];
  spectra: Record<string, number[]>;
  meanRanks: number[];
}

test('a PEFT directory and the GGUF file of the same adapter show the same modules and spectra', async () => {
  const model = await tinyConfig();
  const adapter = tinyAdapter(model, { seed: 1, targets: ['q_proj', 'up_proj'] });
  await writeFile(join(directory, CONFIG_FILE), JSON.stringify(adapter.config));
  await writeFile(join(directory, WEIGHTS_FILE), peftWeights(adapter));
  await writeFile(join(directory, 'lora.gguf'), ggufAdapter(adapter, model));
  const peft = (await inspect([directory])).json as Inspected;
  const gguf = (await inspect([join(directory, 'lora.gguf'), '--json'])).json as Inspected;
  expect(peft).toMatchObject({ format: 'PEFT', supported: true, reason: null, rank: 4, alpha: 8 });
  expect(peft.modules[1]).toEqual({ name: 'blk.0.ffn_up', shape: [96, 64], rank: 4, scale: 2 });
  expect(Object.keys(peft.spectra)).toEqual(['blk.0.attn_q', 'blk.0.ffn_up', 'blk.1.attn_q', 'blk.1.ffn_up']);
  expect(gguf).toMatchObject({
    format: 'GGUF LoRA',
    supported: true,
    reason: null,
    rank: 4,
    alpha: 8,
    modules: peft.modules,
  });
  expect(peft.meanRanks.at(-1)).toBe(4);
  expect(peft.meanRanks[0]).toBeLessThan(4);
  expect(gguf.meanRanks).toEqual(peft.meanRanks);
  expect((await inspect([join(directory, WEIGHTS_FILE)])).json).toEqual(peft);
  // Permuted rows have the same singular values up to rounding.
  for (const [name, values] of Object.entries(peft.spectra)) {
    values.forEach((value, i) => expect(gguf.spectra[name]![i]).toBeCloseTo(value, 9));
  }
});

test('the invocation tokens of an activated adapter are shown', async () => {
  const model = await tinyConfig();
  const adapter = tinyAdapter(model, { seed: 1, targets: ['q_proj'], config: { alora_invocation_tokens: [5, 6] } });
  const path = join(directory, 'activated.gguf');
  await writeFile(path, ggufAdapter(adapter, model));
  const { json, text } = await inspect([path]);
  expect(json).toMatchObject({ supported: true, invocationTokens: [5, 6] });
  expect(text).toContain('activated by the tokens 5, 6');
});

test('an unsupported adapter shows the reason', async () => {
  const path = await mkdtemp(join(directory, 'dora-'));
  const adapter = tinyAdapter(await tinyConfig(), {
    seed: 1,
    targets: ['q_proj'],
    layers: [0],
    config: { use_dora: true },
  });
  await writeFile(join(path, CONFIG_FILE), JSON.stringify(adapter.config));
  await writeFile(join(path, WEIGHTS_FILE), peftWeights(adapter));
  const why = { supported: false, rank: null, alpha: null, modules: [], spectra: {} };
  expect((await inspect([path])).json).toEqual({
    ...why,
    format: 'PEFT',
    reason: `${join(path, CONFIG_FILE)}: use_dora: is not supported`,
  });
  const other = join(path, 'other.gguf');
  await writeFile(other, writeGguf({ metadata: { 'general.type': 'adapter', 'adapter.type': 'ia3' }, tensors: [] }));
  expect((await inspect([other])).json).toMatchObject({
    ...why,
    format: 'GGUF LoRA',
    reason: expect.stringMatching(/adapter.type: is not "lora"/) as string,
  });
});

test('a directory with pickled weights is refused', async () => {
  const path = await mkdtemp(join(directory, 'pickle-'));
  await writeFile(join(path, CONFIG_FILE), '{}');
  await expectError(() => inspect([path]), 'bad_file', { file: join(path, WEIGHTS_FILE) });
  await writeFile(join(path, 'adapter_model.bin'), '');
  await expectError(() => inspect([path]), 'unsupported', { file: join(path, 'adapter_model.bin'), reason: /pickle/ });
});

test('a directory without an adapter is refused', async () => {
  const path = await mkdtemp(join(directory, 'empty-'));
  await expectError(() => inspect([path]), 'bad_request', { file: path, reason: /neither a GGUF nor/ });
  await expectError(() => inspect([join(path, CONFIG_FILE)]), 'bad_file', { file: join(path, CONFIG_FILE) });
});
