import { type Architecture, everyNth } from '../architectures/architecture.ts';
import type { DeltaNet } from '../config/model-config.ts';
import type { GgufMetadata } from './gguf/gguf-metadata.ts';
import { checkMultiple, fail, readInteger } from './metadata-numbers.ts';

/** The largest sizes that are read, by GGUF's keys behind the architecture's name. */
export const MOST_DELTA = {
  'ssm.conv_kernel': 32,
  'ssm.state_size': 256,
  'ssm.group_count': 1024,
  'ssm.time_step_rank': 1024,
} as const;
const DEFAULT_INTERVAL = 4;

/**
 * Which layers have a delta net, and of what sizes, from GGUF's metadata (llama.cpp, src/models/qwen35.cpp). Of its files value
 * heads are tiled, unless `valueHeads` says otherwise. Errors: `bad_file`; `unsupported` for sizes that the kernels do not
 * compute.
 */
export function readDeltaNet(
  metadata: GgufMetadata,
  { name, hasDeltaNets }: Architecture,
  numLayers: number,
  valueHeads: DeltaNet['valueHeads'] = 'tiled',
): DeltaNet | undefined {
  if (!hasDeltaNets) return undefined;
  const integer = (key: keyof typeof MOST_DELTA): number => readInteger(metadata, `${name}.${key}`, MOST_DELTA[key]);
  const layers = readLayers(metadata, name, numLayers);
  if (layers.length === 0) return undefined;
  if (layers.length === numLayers) fail(metadata, `${name}.full_attention_interval`, 'no layer attends', 'unsupported');
  const headDim = integer('ssm.state_size');
  const numKeyHeads = integer('ssm.group_count');
  const numValueHeads = integer('ssm.time_step_rank');
  const taps = integer('ssm.conv_kernel');
  checkMultiple(metadata, `${name}.ssm.state_size`, headDim, 16);
  checkMultiple(metadata, `${name}.ssm.time_step_rank`, numValueHeads, 8); // adapters' kernels have eight outputs at a time
  if (numValueHeads % numKeyHeads !== 0)
    fail(metadata, `${name}.ssm.group_count`, `${numKeyHeads} key heads do not divide ${numValueHeads} value heads`);
  if (taps === 1)
    fail(metadata, `${name}.ssm.conv_kernel`, 'a convolution of one token is not supported', 'unsupported');
  const inner = `${name}.ssm.inner_size`;
  if (metadata.number(inner) !== numValueHeads * headDim)
    fail(metadata, inner, `values of another size than keys, ${headDim}, are not supported`, 'unsupported');
  return { numKeyHeads, numValueHeads, headDim, taps, valueHeads, layers };
}

/** A flag a layer, or all but every n-th. */
function readLayers(metadata: GgufMetadata, name: string, numLayers: number): number[] {
  const all = everyNth(1, numLayers);
  const key = `${name}.attention.recurrent_layers`;
  const flags = metadata.get(key);
  if (flags === undefined) {
    const attending = everyNth(
      readInteger(metadata, `${name}.full_attention_interval`, 1024, DEFAULT_INTERVAL),
      numLayers,
    );
    return all.filter((layer) => !attending.includes(layer));
  }
  const listed: unknown[] = Array.isArray(flags) || ArrayBuffer.isView(flags) ? [...flags] : [];
  const isFlag = (flag: unknown): boolean => typeof flag === 'boolean' || Number(flag) === 0 || Number(flag) === 1;
  if (listed.length < numLayers || !listed.every(isFlag))
    fail(metadata, key, `must be a flag for each of ${numLayers} layers`);
  return all.filter((layer) => Boolean(Number(listed[layer])));
}
