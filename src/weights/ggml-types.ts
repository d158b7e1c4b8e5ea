/** Layout of a tensor type in a GGUF file (llama.cpp, ggml/src/ggml-common.h). */
export interface GgmlTypeLayout {
  /** The type's number in the file. */
  readonly id: number;
  /** Elements that share one scale. */
  readonly blockSize: number;
  /** Bytes of one block. */
  readonly blockBytes: number;
}

export const GGML_TYPES = {
  F32: { id: 0, blockSize: 1, blockBytes: 4 },
  F16: { id: 1, blockSize: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockSize: 32, blockBytes: 18 },
  Q4_1: { id: 3, blockSize: 32, blockBytes: 20 },
  Q5_0: { id: 6, blockSize: 32, blockBytes: 22 },
  Q5_1: { id: 7, blockSize: 32, blockBytes: 24 },
  Q8_0: { id: 8, blockSize: 32, blockBytes: 34 },
  Q2_K: { id: 10, blockSize: 256, blockBytes: 84 },
  Q3_K: { id: 11, blockSize: 256, blockBytes: 110 },
  Q4_K: { id: 12, blockSize: 256, blockBytes: 144 },
  Q5_K: { id: 13, blockSize: 256, blockBytes: 176 },
  Q6_K: { id: 14, blockSize: 256, blockBytes: 210 },
  IQ3_XXS: { id: 18, blockSize: 256, blockBytes: 98 },
  IQ4_NL: { id: 20, blockSize: 32, blockBytes: 18 },
  IQ4_XS: { id: 23, blockSize: 256, blockBytes: 136 },
  BF16: { id: 30, blockSize: 1, blockBytes: 2 },
  TQ1_0: { id: 34, blockSize: 256, blockBytes: 54 },
  TQ2_0: { id: 35, blockSize: 256, blockBytes: 66 },
  MXFP4: { id: 39, blockSize: 32, blockBytes: 17 },
  Q1_0: { id: 41, blockSize: 128, blockBytes: 18 },
  Q2_0: { id: 42, blockSize: 64, blockBytes: 18 },
} as const satisfies Record<string, GgmlTypeLayout>;

export type GgmlType = keyof typeof GGML_TYPES;

/** Types of llama.cpp that this runtime lacks (ggml/include/ggml.h), named in errors. */
const OTHER_TYPES: Record<number, string> = {
  9: 'Q8_1',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  19: 'IQ1_S',
  21: 'IQ3_S',
  22: 'IQ2_S',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  40: 'NVFP4',
};

const TYPE_BY_ID = new Map(
  (Object.keys(GGML_TYPES) as GgmlType[]).map((type) => [GGML_TYPES[type].id as number, type]),
);

/** The type with number `id` in a GGUF file; undefined if unknown. */
export function ggmlTypeById(id: number): GgmlType | undefined {
  return TYPE_BY_ID.get(id);
}

/** Name of type number `id` for a message. */
export function ggmlTypeName(id: number): string {
  const name = ggmlTypeById(id) ?? OTHER_TYPES[id];
  return name === undefined ? `number ${id}` : `${name} (number ${id})`;
}
