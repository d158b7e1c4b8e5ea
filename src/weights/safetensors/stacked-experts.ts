import { EXPERT_LINEARS, type ExpertPaths } from '../../architectures/linears.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import { type ByteSource, checkReadRange } from '../byte-source.ts';
import type { TensorInfo } from '../tensor-info.ts';

const EXPERT_NAME = /^model\.layers\.(\d{1,4})\.([a-z_.]+)\.(0|[1-9]\d{0,3})\.(\w+)\.weight$/;

/**
 * Stacks the expert tensors of each layer into one tensor `[count, outFeatures, inFeatures]` with llama.cpp's name.
 * Errors: `bad_file` for a missing expert or one unlike the others, naming its tensor.
 */
export function stackExperts(tensors: readonly TensorInfo[], paths: ExpertPaths): TensorInfo[] {
  const others: TensorInfo[] = [];
  const stacks = new Map<string, TensorInfo[]>();
  for (const tensor of tensors) {
    const [, layer, within, expert, path] = EXPERT_NAME.exec(tensor.name) ?? [];
    const linear = within === paths.experts ? EXPERT_LINEARS.find((name) => paths[name] === path) : undefined;
    if (!linear) {
      others.push(tensor);
      continue;
    }
    const name = `blk.${layer}.${linear}.weight`;
    const parts = stacks.get(name) ?? [];
    parts[Number(expert)] = tensor;
    stacks.set(name, parts);
  }
  return [...others, ...[...stacks].map(([name, parts]) => stacked(name, parts))];
}

function stacked(name: string, parts: readonly (TensorInfo | undefined)[]): TensorInfo {
  const like = parts.find((part) => part !== undefined) as TensorInfo; // there is one
  const whole: TensorInfo[] = [];
  for (let expert = 0; expert < parts.length; expert++) {
    const part = parts[expert];
    const field = part?.name ?? like.name.replace(/experts\.\d+/, `experts.${expert}`);
    if (!part) throw new ChunkwiseError('bad_file', { file: like.source.name, field, reason: 'the tensor is missing' });
    if (part.type !== like.type || part.shape.join() !== like.shape.join()) {
      const reason = `is [${part.shape.join(', ')}] in ${part.type}, but ${like.name} is [${like.shape.join(', ')}] in ${like.type}`;
      throw new ChunkwiseError('bad_file', { file: part.source.name, field, reason });
    }
    whole.push(part);
  }
  const source = new StackedSource(whole, like.bytes);
  return { name, shape: [parts.length, ...like.shape], type: like.type, bytes: source.size, offset: 0, source };
}

/** Concatenated tensors of `bytes` bytes each. */
class StackedSource implements ByteSource {
  readonly name: string;
  readonly size: number;

  constructor(
    private readonly parts: readonly TensorInfo[],
    private readonly bytes: number,
  ) {
    this.name = parts[0]?.source.name ?? '';
    this.size = parts.length * bytes;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkReadRange(this, offset, length);
    const result = new Uint8Array(length);
    for (let at = offset; at < offset + length;) {
      const part = this.parts[Math.floor(at / this.bytes)] as TensorInfo;
      const within = at % this.bytes;
      const size = Math.min(this.bytes - within, offset + length - at);
      result.set(await part.source.read(part.offset + within, size), at - offset);
      at += size;
    }
    return result;
  }
}
