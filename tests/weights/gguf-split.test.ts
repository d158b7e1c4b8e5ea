import { expect, test } from 'vitest';
import { BytesSource } from '../support/bytes-source.ts';
import { openGguf, shardNames } from '../../src/weights/gguf/gguf-split.ts';
import { expectError } from '../support/expect-error.ts';
import { writeGguf } from '../support/models/gguf-writer.ts';
import type { MetadataValue } from '../support/models/gguf-writer.ts';

interface ShardOptions {
  no: number;
  count?: number;
  total?: number;
  tensors?: string[];
}

/** A shard in the form of llama.cpp's gguf-split: only the first one has the model's metadata. */
function shard({ no, count = 3, total = 4, tensors = [`blk.${no}.x`] }: ShardOptions): BytesSource {
  const metadata: Record<string, MetadataValue> = {
    'split.no': { type: 'u16', value: no },
    'split.count': { type: 'u16', value: count },
    'split.tensors.count': { type: 'i32', value: total },
    ...(no === 0 && { 'general.architecture': 'llama' }),
  };
  const written = tensors.map((name) => ({
    name,
    shape: [4],
    type: 'F32' as const,
    bytes: new Uint8Array(16).fill(no),
  }));
  const name = `m-0000${no + 1}-of-0000${count}.gguf`;
  return new BytesSource(name, writeGguf({ metadata, tensors: written }));
}

const SHARDS = [shard({ no: 0, tensors: ['token_embd.weight', 'blk.0.x'] }), shard({ no: 1 }), shard({ no: 2 })];
const at = (i: number): BytesSource => SHARDS[i] ?? shard({ no: i });

test('shards in any order form one file, whose tensors have their own sources', async () => {
  const file = await openGguf([at(2), at(0), at(1)]);
  expect(file.metadata.string('general.architecture')).toBe('llama');
  expect(file.tensors.map(({ name, source }) => [name, source.name])).toEqual([
    ['token_embd.weight', 'm-00001-of-00003.gguf'],
    ['blk.0.x', 'm-00001-of-00003.gguf'],
    ['blk.1.x', 'm-00002-of-00003.gguf'],
    ['blk.2.x', 'm-00003-of-00003.gguf'],
  ]);
  for (const [i, no] of [0, 0, 1, 2].entries()) {
    const tensor = file.tensors[i];
    expect(await tensor?.source.read(tensor.offset, tensor.bytes)).toEqual(new Uint8Array(16).fill(no));
  }
});

test('an incomplete set of shards is refused', async () => {
  const bad = (sources: BytesSource[], field: string, reason: RegExp): Promise<void> =>
    expectError(() => openGguf(sources), 'bad_file', { field, reason });
  await bad([at(0), at(2)], 'split.no', /part 2 is missing/);
  await bad([at(1), at(2)], 'split.no', /part 1 is missing/);
  await bad([at(0), at(1)], 'split.count', /has 3 parts, but 2 were given/);
  await bad([at(0)], 'split.count', /has 3 parts, but 1 were given/);
  await bad([at(0), at(1), at(1)], 'split.no', /part 2 is given twice/);
  await bad([at(0), at(1), shard({ no: 2, count: 4 })], 'split.count', /is 4, but 3/);
  await bad([at(0), at(1), shard({ no: 3 })], 'split.no', /3 is not the number/);
  await bad([at(0), at(1), shard({ no: 2, tensors: ['blk.0.x'] })], 'blk.0.x', /is also in m-00001-of-00003\.gguf/);
  await bad([at(0), at(1), shard({ no: 2, tensors: [] })], 'split.tensors.count', /is 4, but the parts hold 3/);
  const single = new BytesSource('one.gguf', writeGguf({ metadata: {}, tensors: [] }));
  await bad([single, single], 'split.no', /part 1 is given twice/);
  await expectError(() => openGguf([]), 'bad_request', { reason: /no file/ });
});

test('one shard’s name gives all names', async () => {
  const url = 'https://host/a/m-00001-of-00003.gguf?download=true';
  expect(shardNames(url)).toEqual([1, 2, 3].map((i) => `https://host/a/m-0000${i}-of-00003.gguf?download=true`));
  expect(shardNames('m-00002-of-00002.gguf')).toEqual(['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf']);
  expect(shardNames('model.gguf')).toEqual(['model.gguf']);
  expect(shardNames('$&-00001-of-00001.gguf')).toEqual(['$&-00001-of-00001.gguf']);
  for (const name of ['m-00004-of-00003.gguf', 'm-00000-of-00003.gguf', 'm-00001-of-99999.gguf']) {
    await expectError(() => shardNames(name), 'bad_file', { file: name, reason: /not a possible part/ });
  }
});
