import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { inspect } from '../../cli/commands/inspect.ts';
import { modelFiles, openSources } from '../../src/node/model-files.ts';
import { expectError } from '../support/expect-error.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

/** A folder of these files until the test ends. */
function folderOf(...names: string[]): (name?: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-model-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const name of names) writeFileSync(join(folder, name), name);
  return (name = '') => join(folder, name);
}
const namesOf = async (path: string): Promise<string[]> => (await modelFiles(path)).map((file) => basename(file));

const TEXTS = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'];
const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json'];
const PARTS = ['x-Q8_0-00001-of-00002.gguf', 'x-Q8_0-00002-of-00002.gguf'];

test('a file is read alone, or with all shards of a split model', async () => {
  expect(await modelFiles('some/x.gguf')).toEqual(['some/x.gguf']);
  expect(await namesOf(join('some', PARTS[1]!))).toEqual(PARTS);
});

test('a folder has one GGUF model, else safetensors with their side files', async () => {
  const gguf = folderOf('x.gguf', 'mmproj-x.gguf', 'x.imatrix.gguf', 'README.md', 'config.json');
  expect(await namesOf(gguf())).toEqual(['x.gguf']);
  expect(await namesOf(folderOf(...PARTS)())).toEqual(PARTS);
  const safetensors = folderOf(...TEXTS, 'model.safetensors', 'adapter_model.safetensors', 'training_args.bin');
  expect((await namesOf(safetensors())).sort()).toEqual([...TEXTS, 'model.safetensors'].sort());
  expect((await namesOf(folderOf(...TEXTS, ...SHARDS)())).sort()).toEqual([...TEXTS, ...SHARDS].sort());
});

test('a safetensors file includes its side files; a shard or the index includes all shards', async () => {
  const at = folderOf(...TEXTS, ...SHARDS, 'model.safetensors', 'tuned.safetensors', 'x.gguf');
  expect((await namesOf(at('tuned.safetensors'))).sort()).toEqual([...TEXTS, 'tuned.safetensors'].sort());
  expect((await namesOf(at('model.safetensors'))).sort()).toEqual([...TEXTS, 'model.safetensors'].sort());
  const parted = folderOf(...TEXTS, ...SHARDS, 'x.gguf');
  expect((await namesOf(parted(SHARDS[1]))).sort()).toEqual([...TEXTS, ...SHARDS].sort());
  expect((await namesOf(at(SHARDS[2]))).sort()).toEqual([...TEXTS, ...SHARDS].sort());
});

test('several models, none, pickles, and missing files', async () => {
  const several = folderOf('a.gguf', 'b.gguf');
  await expectError(() => modelFiles(several()), 'bad_request', {
    file: several(),
    field: '--model',
    reason: /name one of a.gguf, b.gguf/,
  });
  const none = folderOf('config.json');
  await expectError(() => modelFiles(none()), 'bad_request', { reason: /neither a GGUF nor a safetensors/ });
  const pickled = folderOf('config.json', 'pytorch_model.bin');
  await expectError(() => modelFiles(pickled()), 'unsupported', {
    file: pickled('pytorch_model.bin').replace('//', '/'),
    reason: /pickle.*AutoModel/,
  });
  for (const name of ['none.gguf', 'none.safetensors', 'none', 'none/model.safetensors']) {
    await expectError(() => openSources(none(name)), 'bad_file', { file: none(name) });
  }
});

interface Inspected {
  format: string;
  architecture: string | null;
  supported: boolean;
  reason: string | null;
  tensors: { name: string; shape: number[]; type: string; bytes: number }[];
  totalBytes: number;
}
const inspected = async (path: string): Promise<Inspected> => (await inspect([path])).json as Inspected;

test('inspect reports whether a GGUF model runs here', async () => {
  const at = folderOf();
  const small = { type: 'F32', seed: 1, hiddenSize: 64, intermediateSize: 96, numLayers: 1 } as const;
  writeFileSync(at('a.gguf'), tinyModel({ architecture: 'llama', ...small }));
  writeFileSync(
    at('b.gguf'),
    tinyModel({ architecture: 'llama', ...small, metadata: { 'tokenizer.ggml.pre': 'unheard-of' } }),
  );
  writeFileSync(
    at('c.gguf'),
    tinyModel({ architecture: 'llama', ...small, metadata: { 'general.architecture': 'gemma2' } }),
  );
  writeFileSync(at('d.gguf'), Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0, 0, 0));
  expect(await inspected(at('a.gguf'))).toMatchObject({
    format: 'GGUF v3',
    architecture: 'llama',
    supported: true,
    reason: null,
  });
  expect(await inspected(at('b.gguf'))).toMatchObject({
    supported: false,
    reason: expect.stringMatching(/tokenizer.ggml.pre: .*unheard-of/) as string,
  });
  expect(await inspected(at('c.gguf'))).toMatchObject({
    architecture: 'gemma2',
    supported: false,
    reason: expect.stringMatching(/"gemma2" is not supported/) as string,
  });
  expect((await inspect([at('c.gguf')])).text).toMatch(/does not run here: .*gemma2/);
  await expectError(() => inspect([at('d.gguf')]), 'unsupported', { reason: /pickle/ });
});

test('inspect shows stored safetensors and whether they run', async () => {
  const fixture = join(import.meta.dirname, '../fixtures/safetensors/llama3');
  const model = await inspected(fixture);
  expect(model).toMatchObject({ format: 'safetensors', architecture: 'llama', supported: true, reason: null });
  expect(model.tensors).toContainEqual({
    name: 'model.layers.1.self_attn.k_proj.weight',
    shape: [16, 32],
    type: 'BF16',
    bytes: 1024,
  });
  expect(model.totalBytes).toBe(model.tensors.reduce((sum, { bytes }) => sum + bytes, 0));
  expect(await inspected(join(fixture, SHARDS[0]!))).toEqual(model);
  const at = folderOf();
  mkdirSync(at('x'));
  writeFileSync(at('x/model.safetensors'), Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d]));
  expect(await inspected(at('x'))).toMatchObject({
    architecture: null,
    supported: false,
    reason: expect.stringMatching(/config.json: this file of the model is missing/) as string,
  });
  writeFileSync(at('x/config.json'), '{"model_type": "gemma2"}');
  expect(await inspected(at('x'))).toMatchObject({
    architecture: 'gemma2',
    supported: false,
    reason: expect.stringMatching(/model_type: "gemma2"/) as string,
  });
});
