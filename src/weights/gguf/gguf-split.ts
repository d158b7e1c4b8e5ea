import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { ByteSource } from '../byte-source.ts';
import { readGguf } from './gguf-reader.ts';
import type { GgufFile } from './gguf-reader.ts';

const SHARD_NAME = /-(\d{5})-of-(\d{5})\.gguf(?=$|[?#])/;
const MAX_SHARDS = 1024;

/**
 * Names or URLs of all shards of a split model, in order, given any one of them ("x-00001-of-00003.gguf"; llama.cpp,
 * llama_split_path). Any other name is returned alone.
 */
export function shardNames(name: string): string[] {
  const match = SHARD_NAME.exec(name);
  if (match === null) return [name];
  const count = Number(match[2]);
  const own = Number(match[1]);
  if (own < 1 || own > count || count > MAX_SHARDS) {
    const reason = `part ${own} of ${count} is not a possible part; a model has at most ${MAX_SHARDS}`;
    throw new ChunkwiseError('bad_file', { file: name, reason });
  }
  return Array.from({ length: count }, (_, i) => {
    const part = String(i + 1).padStart(5, '0');
    return name.replace(SHARD_NAME, `-${part}-of-${match[2]}.gguf`);
  });
}

/**
 * Reads the headers of a model in one file or in shards of any order. The metadata are the first shard's; each tensor
 * has its own source. Throws `bad_file` for a missing or foreign shard.
 */
export async function openGguf(sources: readonly ByteSource[]): Promise<GgufFile> {
  const shards: Shard[] = [];
  for (const source of sources) shards.push(readShardKeys(await readGguf(source)));
  shards.sort((a, b) => a.no - b.no);
  const first = shards[0];
  if (first === undefined) throw new ChunkwiseError('bad_request', { field: 'model', reason: 'no file was given' });
  shards.forEach((shard, i) => {
    if (shard.count !== first.count) {
      refuse(shard, 'split.count', `is ${shard.count}, but ${first.count} in ${first.file.metadata.file}`);
    }
    if (shard.no !== i) {
      const given = shards[i - 1]?.no === shard.no ? `part ${shard.no + 1} is given twice` : `part ${i + 1} is missing`;
      refuse(shard, 'split.no', `${given} of a model in ${first.count} parts`);
    }
  });
  if (shards.length !== first.count) {
    refuse(first, 'split.count', `the model has ${first.count} parts, but ${shards.length} were given`);
  }
  return first.count === 1 ? first.file : merge(first, shards);
}

interface Shard {
  file: GgufFile;
  /** Counts from 0. */
  no: number;
  count: number;
}

function readShardKeys(file: GgufFile): Shard {
  const count = file.metadata.optionalNumber('split.count') ?? 1;
  // Unsplit models may have a count of 0 or 1.
  if (count === 0 || count === 1) return { file, no: 0, count: 1 };
  const shard = { file, no: file.metadata.number('split.no'), count };
  if (!Number.isInteger(count) || count < 0 || count > MAX_SHARDS) {
    refuse(shard, 'split.count', `${count} parts; 1 to ${MAX_SHARDS} are allowed`);
  }
  if (!Number.isInteger(shard.no) || shard.no < 0 || shard.no >= count) {
    refuse(shard, 'split.no', `${shard.no} is not the number of one of ${count} parts, counted from 0`);
  }
  return shard;
}

function merge(first: Shard, shards: readonly Shard[]): GgufFile {
  const tensors = shards.flatMap(({ file }) => file.tensors);
  const owners = new Map<string, string>();
  for (const { name, source } of tensors) {
    const owner = owners.get(name);
    if (owner !== undefined) {
      throw new ChunkwiseError('bad_file', { file: source.name, field: name, reason: `is also in ${owner}` });
    }
    owners.set(name, source.name);
  }
  const claimed = first.file.metadata.number('split.tensors.count');
  if (claimed !== tensors.length) {
    refuse(first, 'split.tensors.count', `is ${claimed}, but the parts hold ${tensors.length} tensors`);
  }
  return { version: first.file.version, metadata: first.file.metadata, tensors };
}

function refuse(shard: Shard, field: string, reason: string): never {
  throw new ChunkwiseError('bad_file', { file: shard.file.metadata.file, field, reason });
}
