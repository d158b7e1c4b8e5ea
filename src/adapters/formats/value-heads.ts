import type { LinearName } from '../../architectures/linears.ts';
import type { DeltaNet } from '../../config/model-config.ts';

/** Of an adapter's file: which value head becomes the i-th of a base that has them in the other order; undefined where it has them alike. */
export function valueHeadOrder(
  { numKeyHeads, numValueHeads, valueHeads }: DeltaNet,
  ofFile: DeltaNet['valueHeads'],
): number[] | undefined {
  const each = numValueHeads / numKeyHeads;
  if (ofFile === valueHeads || each === 1 || numKeyHeads === 1) return undefined;
  const [across, down] = valueHeads === 'tiled' ? [numKeyHeads, each] : [each, numKeyHeads];
  return Array.from({ length: numValueHeads }, (_, head) => (head % across) * down + Math.floor(head / across));
}

/** The rows of a linear's B in that order of value heads; undefined where it has none. */
export function valueRows(
  { numKeyHeads, numValueHeads, headDim }: DeltaNet,
  linear: LinearName,
  order: readonly number[],
): number[] | undefined {
  const keys = linear === 'attn_qkv' ? 2 * numKeyHeads * headDim : 0;
  const size = linear === 'ssm_beta' || linear === 'ssm_alpha' ? 1 : headDim;
  if (!['attn_qkv', 'attn_gate', 'ssm_beta', 'ssm_alpha'].includes(linear)) return undefined;
  const rows = Array.from(
    { length: numValueHeads * size },
    (_, row) => keys + order[Math.floor(row / size)]! * size + (row % size),
  );
  return [...Array.from({ length: keys }, (_, row) => row), ...rows];
}

/** `[rank, numValueHeads headDim]`, what reads value heads, in that order. */
export function valueColumns(
  a: Float32Array,
  { numValueHeads, headDim }: DeltaNet,
  order: readonly number[],
): Float32Array {
  const width = numValueHeads * headDim;
  return a.map((_, at) => {
    const column = at % width;
    return a[at - column + order[Math.floor(column / headDim)]! * headDim + (column % headDim)]!;
  });
}
