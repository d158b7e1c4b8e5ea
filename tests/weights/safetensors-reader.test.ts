import { expect, test } from 'vitest';
import { readFloats } from '../../src/weights/float-tensor.ts';
import { readSafetensors } from '../../src/weights/safetensors/safetensors-reader.ts';
import { assemble, writeSafetensors } from '../support/models/safetensors-writer.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';

const FILE = 'x.safetensors';
const open = (bytes: Uint8Array): BytesSource => new BytesSource(FILE, bytes);

test('tensors, metadata and values of the three float types', async () => {
  const bytes = writeSafetensors(
    [
      { name: 'half', shape: [3], type: 'F16', bytes: new Uint8Array(Uint16Array.of(0x3c00, 0x0001, 0xfc00).buffer) },
      { name: 'brain', shape: [2, 1], type: 'BF16', bytes: new Uint8Array(Uint16Array.of(0x3fc0, 0xc000).buffer) },
      { name: 'float', shape: [], type: 'F32', bytes: new Uint8Array(Float32Array.of(0.1).buffer) },
      { name: 'empty', shape: [0, 4], type: 'F32', bytes: new Uint8Array(0) },
    ],
    { format: 'pt' },
  );
  const { tensors, metadata } = await readSafetensors(open(bytes));
  expect(metadata).toEqual({ format: 'pt' });
  expect(tensors.map(({ name, shape, type, bytes: size }) => [name, shape, type, size])).toEqual([
    ['half', [3], 'F16', 6],
    ['brain', [2, 1], 'BF16', 4],
    ['float', [], 'F32', 4],
    ['empty', [0, 4], 'F32', 0],
  ]);
  const values = await Promise.all(tensors.map(readFloats));
  expect(values.map((array) => Array.from(array))).toEqual([
    [1, 2 ** -24, -Infinity],
    [1.5, -2],
    [Math.fround(0.1)],
    [],
  ]);
});

const T = (shape: string, begin: number, end: number, dtype = 'F32'): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

test.each([
  ['a shape that takes other bytes', `{"a":${T('[3]', 0, 8)}}`, 8, 'a', /span 8 bytes.*takes 12/],
  ['overlap', `{"a":${T('[2]', 0, 8)},"b":${T('[2]', 4, 12)}}`, 12, 'b', /within/],
  ['a hole', `{"a":${T('[2]', 0, 8)},"b":${T('[2]', 12, 20)}}`, 20, 'b', /the one before it ends/],
  ['bytes past the end', `{"a":${T('[2]', 0, 8)}}`, 7, 'a', /truncated/],
  ['bytes left over', `{"a":${T('[2]', 0, 8)}}`, 9, 'data', /the tensors end/],
  ['a name twice', `{"a":${T('[2]', 0, 8)},"\\u0061":${T('[1, 2]', 0, 8)}}`, 8, 'a', /twice/],
  ['a negative size', `{"a":${T('[-2]', 0, 8)}}`, 8, 'a', /whole numbers/],
  ['a size beyond 2^53', `{"a":${T('[9007199254740991, 4]', 0, 8)}}`, 8, 'a', /2\^53/],
  ['ends before it begins', `{"a":${T('[0]', 8, 0)}}`, 8, 'a', /span -8/],
  ['no object', `{"a":[1]}`, 0, 'a', /object/],
  ['metadata that is no text', `{"__metadata__":{"a":1}}`, 0, '__metadata__', /strings/],
  ['an array', `[]`, 0, 'header', /object/],
  ['no JSON', `{"a"`, 0, 'header', /JSON/],
  ['nesting without end', '['.repeat(1_000_000), 0, 'header', /JSON/],
])('refused: %s', async (_, header, dataBytes, field, reason) => {
  const bytes = assemble(header, [new Uint8Array(dataBytes)]);
  await expectError(() => readSafetensors(open(bytes)), 'bad_file', { file: FILE, field, reason });
});

test.each(['I64', 'F8_E4M3', 'toString', '__proto__'])('dtype %s is unsupported', async (dtype) => {
  const bytes = assemble(`{"a":${T('[1]', 0, 8, dtype)}}`, [new Uint8Array(8)]);
  await expectError(() => readSafetensors(open(bytes)), 'unsupported', { file: FILE, field: 'a' });
});

test('position ids are skipped but keep their place', async () => {
  const header = `{"embeddings.position_ids":${T('[1,2]', 0, 16, 'I64')},"a":${T('[1]', 16, 20)}}`;
  const { tensors } = await readSafetensors(open(assemble(header, [new Uint8Array(20)])));
  expect(tensors.map(({ name, bytes }) => [name, bytes])).toEqual([['a', 4]]);
  const short = header.replace('[1,2]', '[1,3]');
  await expectError(() => readSafetensors(open(assemble(short, [new Uint8Array(20)]))), 'bad_file', {
    file: FILE,
    field: 'embeddings.position_ids',
  });
});

test('a header longer than the file, or than the limit, is not read', async () => {
  const claim = async (length: bigint, size: number, reason: RegExp): Promise<void> => {
    const bytes = new Uint8Array(size);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    await expectError(() => readSafetensors(open(bytes)), 'bad_file', { file: FILE, field: 'header length', reason });
  };
  await claim(2n ** 63n, 100, /does not fit/);
  await claim(93n, 100, /does not fit/);
  await claim(20n * 2n ** 20n, 21 * 2 ** 20, /at most/);
  await expectError(() => readSafetensors(open(new Uint8Array(7))), 'bad_file', { file: FILE, field: 'header length' });
});

test('keys are found in spite of brackets, quotes and commas in strings', async () => {
  const header = `{"a{\\"],": ${T('[1]', 0, 4)} , "__metadata__":{"a{\\"],":"}, {\\\\","b":"x"}}`;
  const { tensors, metadata } = await readSafetensors(open(assemble(header, [new Uint8Array(4)])));
  expect(tensors.map(({ name }) => name)).toEqual(['a{"],']);
  expect(metadata).toEqual({ 'a{"],': '}, {\\', b: 'x' });
});
