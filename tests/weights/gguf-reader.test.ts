import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gguf } from '@huggingface/gguf';
import { expect, onTestFinished, test } from 'vitest';
import { FileSource } from '../../src/node/file-source.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { GGML_TYPES } from '../../src/weights/ggml-types.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import type { GgufFile } from '../../src/weights/gguf/gguf-reader.ts';
import { expectError } from '../support/expect-error.ts';
import { f32, writeGguf } from '../support/models/gguf-writer.ts';
import type { GgufToWrite, MetadataValue } from '../support/models/gguf-writer.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

const TENSOR = { name: 'a.weight', shape: [3, 64], type: 'Q4_0', bytes: new Uint8Array(6 * 18) } as const;

function read(file: Partial<GgufToWrite>): Promise<GgufFile> {
  return readGguf(new BytesSource('x.gguf', writeGguf({ metadata: {}, tensors: [TENSOR], ...file })));
}

/** Changes a copy of a one-tensor file with `edit`, which gets a view and the position of the tensor's info. */
function edited(edit: (view: DataView, at: number) => void): BytesSource {
  const bytes = writeGguf({ metadata: {}, tensors: [TENSOR] });
  edit(new DataView(bytes.buffer), 24);
  return new BytesSource('x.gguf', bytes);
}
// Offsets into the tensor info of TENSOR, whose name has 8 bytes and shape two dimensions.
const DIMS = 16;
const LENGTHS = 20;
const TYPE = 36;
const OFFSET = 40;

async function expectSameAsHuggingFace(path: string): Promise<void> {
  const source = await FileSource.open(path);
  onTestFinished(() => source.close());
  const ours = await readGguf(source);
  const theirs = await gguf(path, { allowLocalFile: true });

  const { version, tensor_count, kv_count, ...metadata } = theirs.metadata as Record<string, unknown>;
  expect([ours.version, ours.tensors.length, ours.metadata.keys.length]).toEqual([
    version,
    Number(tensor_count),
    Number(kv_count),
  ]);
  for (const [key, value] of Object.entries(metadata)) {
    const own = ours.metadata.get(key);
    expect(ArrayBuffer.isView(own) ? Array.from(own as Int32Array) : own, key).toEqual(value);
  }
  const dataStart = Number(theirs.tensorDataOffset);
  expect(
    ours.tensors.map(({ name, shape, type, offset }) => ({ name, shape, type: GGML_TYPES[type].id, offset })),
  ).toEqual(
    theirs.tensorInfos.map(({ name, shape, dtype, offset }) => ({
      name,
      shape: shape.map(Number).reverse(),
      type: dtype,
      offset: dataStart + Number(offset),
    })),
  );
}

test('the real model reads as @huggingface/gguf reads it', async () => {
  await expectSameAsHuggingFace(REAL_MODEL);
});

test.each([
  { architecture: 'llama', type: 'Q4_K', tokenizer: 'llama' },
  { architecture: 'qwen2', type: 'BF16', tokenizer: 'gpt2' },
] as const)('a tiny $architecture in $type reads as @huggingface/gguf reads it', async (options) => {
  const folder = await mkdtemp(join(tmpdir(), 'chunkwise-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'tiny.gguf');
  await writeFile(path, tinyModel({ ...options, seed: 1 }));
  await expectSameAsHuggingFace(path);
});

test('a tensor’s bytes are at the header’s offset', async () => {
  const second = { ...TENSOR, name: 'b.weight', bytes: Uint8Array.from({ length: 6 * 18 }, (_, i) => i) };
  const { tensors } = await read({ tensors: [TENSOR, second], alignment: 64 });
  const tensor = tensors[1];
  expect(tensor).toMatchObject({ name: 'b.weight', shape: [3, 64], type: 'Q4_0', bytes: 108 });
  expect((tensor?.offset ?? 1) % 64).toBe(0);
  expect(await tensor?.source.read(tensor.offset, tensor.bytes)).toEqual(second.bytes);
});

test('metadata of every type', async () => {
  const { metadata, version } = await read({
    version: 2,
    metadata: {
      u8: { type: 'u8', value: 255 },
      i8: { type: 'i8', value: -1 },
      u16: { type: 'u16', value: 65_535 },
      i16: { type: 'i16', value: -2 },
      u32: 4_294_967_295,
      i32: { type: 'i32', value: -3 },
      f32: f32(0.5),
      f64: { type: 'f64', value: 0.1 },
      u64: { type: 'u64', value: 2n ** 53n - 1n },
      i64: { type: 'i64', value: -4n },
      huge: { type: 'u64', value: 2n ** 53n },
      yes: true,
      // A byte-order mark is an ordinary token.
      text: '\ufeffĠ é 🙂',
      strings: ['', '\ufeff', 'b'],
      booleans: [true, false],
      floats: Float32Array.of(1.5, -2),
      longs: BigUint64Array.of(7n),
      hugeLongs: BigUint64Array.of(2n ** 60n),
      empty: [],
    },
  });
  expect(version).toBe(2);
  const numbers = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'f64', 'u64', 'i64'].map((key) =>
    metadata.number(key),
  );
  expect(numbers).toEqual([255, -1, 65_535, -2, 4_294_967_295, -3, 0.5, 0.1, 2 ** 53 - 1, -4]);
  expect(metadata.get('huge')).toBe(2n ** 53n);
  expect([metadata.boolean('yes'), metadata.string('text')]).toEqual([true, '\ufeffĠ é 🙂']);
  expect(metadata.strings('strings')).toEqual(['', '\ufeff', 'b']);
  expect([metadata.get('booleans'), metadata.strings('empty')]).toEqual([[true, false], []]);
  expect([metadata.numbers('floats'), metadata.numbers('longs')]).toEqual([
    Float32Array.of(1.5, -2),
    Float64Array.of(7),
  ]);
  expect([metadata.has('none'), metadata.optionalNumber('none')]).toEqual([false, undefined]);

  const file = 'x.gguf';
  await expectError(() => metadata.number('none'), 'bad_file', { file, field: 'none', reason: /missing/ });
  await expectError(() => metadata.number('huge'), 'bad_file', {
    file,
    field: 'huge',
    reason: /bigint 9007199254740992/,
  });
  await expectError(() => metadata.numbers('hugeLongs'), 'bad_file', { file, field: 'hugeLongs', reason: /2\^53/ });
  await expectError(() => metadata.string('yes'), 'bad_file', { file, field: 'yes', reason: /must be a string/ });
  await expectError(() => metadata.strings('booleans'), 'bad_file', { field: 'booleans', reason: /2 booleans/ });
});

test('other files and other GGUF versions are refused by name', async () => {
  const file = 'x.gguf';
  const source = (edit: (view: DataView) => void): BytesSource => edited(edit);
  await expectError(() => readGguf(new BytesSource(file, new Uint8Array(0))), 'bad_file', { file, field: 'magic' });
  await expectError(() => readGguf(source((v) => v.setUint8(0, 0x50))), 'bad_file', {
    file,
    reason: /not a GGUF file/,
  });
  await expectError(() => readGguf(source((v) => v.setUint32(4, 1, true))), 'unsupported', {
    file,
    reason: /version 1 is/,
  });
  await expectError(() => readGguf(source((v) => v.setUint32(4, 3, false))), 'unsupported', {
    file,
    reason: /big-endian/,
  });
});

test.each<[string, (view: DataView, at: number) => void, 'bad_file' | 'unsupported', string, RegExp]>([
  ['tensor count', (v) => v.setBigUint64(8, 2n ** 31n, true), 'bad_file', 'tensor count', /are left in the file/],
  ['tensor count beyond 2^53', (v) => v.setBigUint64(8, 2n ** 63n, true), 'bad_file', 'tensor count', /2\^53/],
  ['metadata count', (v) => v.setBigUint64(16, 2n ** 40n, true), 'bad_file', 'metadata count', /are left in the file/],
  ['name length', (v, at) => v.setBigUint64(at, 2n ** 31n, true), 'bad_file', 'tensor 0', /2147483648 bytes of text/],
  ['no dimensions', (v, at) => v.setUint32(at + DIMS, 0, true), 'bad_file', 'a.weight', /0 dimensions/],
  ['five dimensions', (v, at) => v.setUint32(at + DIMS, 5, true), 'bad_file', 'a.weight', /5 dimensions/],
  ['a zero dimension', (v, at) => v.setBigUint64(at + LENGTHS, 0n, true), 'bad_file', 'a.weight', /is 0/],
  ['overflow', (v, at) => v.setBigUint64(at + LENGTHS, 2n ** 52n, true), 'bad_file', 'a.weight', /2\^53 elements/],
  ['half a block', (v, at) => v.setBigUint64(at + LENGTHS, 48n, true), 'bad_file', 'a.weight', /48 elements.*Q4_0.*32/],
  ['known type', (v, at) => v.setUint32(at + TYPE, 16, true), 'unsupported', 'a.weight', /IQ2_XXS \(number 16\)/],
  ['unknown type', (v, at) => v.setUint32(at + TYPE, 4711, true), 'unsupported', 'a.weight', /4711/],
  ['unaligned', (v, at) => v.setBigUint64(at + OFFSET, 8n, true), 'bad_file', 'a.weight', /alignment 32/],
  ['outside', (v, at) => v.setBigUint64(at + OFFSET, 3200n, true), 'bad_file', 'a.weight', /must begin at byte 96/],
])('a bad header is refused: %s', async (_, edit, code, field, reason) => {
  await expectError(() => readGguf(edited(edit)), code, { file: 'x.gguf', field, reason });
});

test('tensors apart, names and alignments', async () => {
  const file = 'x.gguf';
  await expectError(() => read({ tensors: [TENSOR, TENSOR] }), 'bad_file', {
    file,
    field: 'a.weight',
    reason: /twice/,
  });
  for (const offset of [32n, 256n]) {
    const bytes = writeGguf({ metadata: {}, tensors: [TENSOR, { ...TENSOR, name: 'b.weight' }] });
    new DataView(bytes.buffer).setBigUint64(24 + 48 + OFFSET, offset, true);
    const expected = { file, field: 'b.weight', reason: /after the tensor before it/ };
    await expectError(() => readGguf(new BytesSource(file, bytes)), 'bad_file', expected);
  }
  for (const alignment of [4, 48, 2 ** 31 + 1, f32(32.5), 'x'] as MetadataValue[]) {
    const metadata = { 'general.alignment': alignment };
    await expectError(() => read({ metadata }), 'bad_file', {
      file,
      field: 'general.alignment',
      reason: /power of two/,
    });
  }
});

test('a key that occurs twice is refused', async () => {
  const bytes = writeGguf({ metadata: { keyA: 1, keyB: 2 }, tensors: [] });
  bytes[24 + 8 + 4 + 8 + 8 + 3] = 'A'.charCodeAt(0);
  const expected = { file: 'x.gguf', field: 'keyA', reason: /twice/ };
  await expectError(() => readGguf(new BytesSource('x.gguf', bytes)), 'bad_file', expected);
});

test('a header over several windows is read in few reads', async () => {
  const long = Array.from({ length: 300_000 }, (_, i) => `token number ${i}`);
  const bytes = writeGguf({ metadata: { long, after: 'end' }, tensors: [TENSOR] });
  const reads: number[] = [];
  const inner = new BytesSource('x.gguf', bytes);
  const { metadata, tensors } = await readGguf({
    name: inner.name,
    size: inner.size,
    read: (offset, length) => {
      reads.push(length);
      return inner.read(offset, length);
    },
  });
  expect(metadata.strings('long')).toEqual(long);
  expect([metadata.string('after'), tensors.length]).toEqual(['end', 1]);
  expect(reads.length).toBeLessThanOrEqual(4);
  expect(reads.reduce((sum, length) => sum + length)).toBeLessThanOrEqual(bytes.byteLength);
});
