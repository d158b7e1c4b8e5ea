import type { BertConfig } from '../config/encoder-config.ts';

/** GGUF's `general.architecture` of encoder models. */
export const ENCODERS: ReadonlySet<string> = new Set(['bert', 'gemma-embedding']);

export interface EncoderType {
  /** `general.architecture` of a GGUF file of it. */
  architecture: string;
  /** Prefix of tensor names in models with a head on top. */
  prefix: string;
  /** transformers' class of cross-encoders, and the tensors of their classifier by llama.cpp's names. */
  crossEncoder: string;
  classifier: Readonly<Record<'cls' | 'cls.output', string>>;
  /** Positions start after the padding token's id. */
  startsBehindPadding?: boolean;
}

/** transformers' `model_type` of them (modeling_bert.py, modeling_xlm_roberta.py). */
export const ENCODER_TYPES: ReadonlyMap<string, EncoderType> = new Map<string, EncoderType>([
  [
    'bert',
    {
      architecture: 'bert',
      prefix: 'bert.',
      crossEncoder: 'BertForSequenceClassification',
      classifier: { cls: 'pooler.dense', 'cls.output': 'classifier' },
    },
  ],
  [
    'xlm-roberta',
    {
      architecture: 'bert',
      prefix: 'roberta.',
      crossEncoder: 'XLMRobertaForSequenceClassification',
      classifier: { cls: 'classifier.dense', 'cls.output': 'classifier.out_proj' },
      startsBehindPadding: true,
    },
  ],
]);

/** Pooler of BERT files, which embedding models do not use. */
export const POOLER = 'pooler.dense';

type Width = 'hiddenSize' | 'intermediateSize';

interface EncoderLinear {
  /** Name within a layer in transformers (modeling_bert.py). */
  path: string;
  inputs: Width;
  outputs: Width;
}

/** The linears of a layer by llama.cpp's names (src/llama-arch.cpp); each has a bias. */
export const ENCODER_LINEARS = {
  attn_q: { path: 'attention.self.query', inputs: 'hiddenSize', outputs: 'hiddenSize' },
  attn_k: { path: 'attention.self.key', inputs: 'hiddenSize', outputs: 'hiddenSize' },
  attn_v: { path: 'attention.self.value', inputs: 'hiddenSize', outputs: 'hiddenSize' },
  attn_output: { path: 'attention.output.dense', inputs: 'hiddenSize', outputs: 'hiddenSize' },
  ffn_up: { path: 'intermediate.dense', inputs: 'hiddenSize', outputs: 'intermediateSize' },
  ffn_down: { path: 'output.dense', inputs: 'intermediateSize', outputs: 'hiddenSize' },
} as const satisfies Record<string, EncoderLinear>;

/** The norms of a layer, after attention and after the MLP, each with weight and bias. */
export const ENCODER_NORMS = {
  attn_output_norm: 'attention.output.LayerNorm',
  layer_output_norm: 'output.LayerNorm',
} as const;

/** Tensors before the layers. */
export const EMBEDDING_PATHS = {
  token_embd: 'word_embeddings',
  position_embd: 'position_embeddings',
  token_types: 'token_type_embeddings',
  token_embd_norm: 'LayerNorm',
} as const;

/** Names and shapes of all tensors of a BERT model; rows first. */
export function bertTensors(config: BertConfig): Map<string, readonly number[]> {
  const { hiddenSize, vocabSize, contextLength, numSegments, pooling } = config;
  const shapes = new Map<string, readonly number[]>([
    ['token_embd.weight', [vocabSize, hiddenSize]],
    ['position_embd.weight', [contextLength, hiddenSize]],
    ['token_types.weight', [numSegments, hiddenSize]],
    ['token_embd_norm.weight', [hiddenSize]],
    ['token_embd_norm.bias', [hiddenSize]],
  ]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const [name, { inputs, outputs }] of Object.entries(ENCODER_LINEARS)) {
      shapes.set(`blk.${layer}.${name}.weight`, [config[outputs], config[inputs]]);
      shapes.set(`blk.${layer}.${name}.bias`, [config[outputs]]);
    }
    for (const name of Object.keys(ENCODER_NORMS)) {
      shapes.set(`blk.${layer}.${name}.weight`, [hiddenSize]);
      shapes.set(`blk.${layer}.${name}.bias`, [hiddenSize]);
    }
  }
  if (pooling === 'rank') {
    for (const [name, outputs] of [
      ['cls', hiddenSize],
      ['cls.output', 1],
    ] as const)
      shapes.set(`${name}.weight`, [outputs, hiddenSize]).set(`${name}.bias`, [outputs]);
  }
  return shapes;
}
