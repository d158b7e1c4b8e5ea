import type { ModelConfig } from '../config/model-config.ts';
import type { Architecture, ModelType } from './architecture.ts';
import { gemmaEmbedding } from './gemma/gemma-embedding.ts';
import { gemma3 } from './gemma/gemma3.ts';
import { gemma4 } from './gemma/gemma4.ts';
import { granite } from './granite.ts';
import { lfm2 } from './lfm2.ts';
import { lfm2moe } from './lfm2moe.ts';
import { llama } from './llama.ts';
import { mistral3 } from './mistral3.ts';
import { olmoe } from './olmoe.ts';
import { phi3 } from './phi3.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { qwen35 } from './qwen35.ts';
import { qwen3moe } from './qwen3moe.ts';
import { smollm3 } from './smollm3.ts';

const LIST: readonly Architecture[] = [
  llama,
  qwen2,
  qwen3,
  granite,
  smollm3,
  gemma3,
  gemmaEmbedding,
  phi3,
  mistral3,
  lfm2,
  qwen35,
  qwen3moe,
  lfm2moe,
  olmoe,
  gemma4,
];

/** By GGUF's `general.architecture`. */
export const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map(LIST.map((one) => [one.name, one]));

/** By transformers' `model_type`. */
export const MODEL_TYPES: ReadonlyMap<string, ModelType & { architecture: Architecture }> = new Map(
  LIST.flatMap((architecture) =>
    Object.entries(architecture.modelTypes).map(([type, one]) => [type, { ...one, architecture }] as const),
  ),
);

/** That of a model whose config was read. */
export function architectureOf({ architecture }: Pick<ModelConfig, 'architecture'>): Architecture {
  const found = ARCHITECTURES.get(architecture);
  if (!found) throw new Error(`no architecture ${architecture}`); // readModelConfig has seen to it
  return found;
}
