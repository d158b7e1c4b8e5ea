import type { ModelConfig } from '../config/model-config.ts';
import type { Architecture, ModelType } from './architecture.ts';
import { gemma3, gemma4, gemmaEmbedding } from './gemma.ts';
import { granite, llama, mistral3, olmoe, phi3, smollm3 } from './llama.ts';
import { lfm2, lfm2moe } from './lfm2.ts';
import { qwen2, qwen3, qwen35, qwen3moe } from './qwen.ts';

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

/** The architecture of a model whose config was read. */
export function architectureOf({ architecture }: Pick<ModelConfig, 'architecture'>): Architecture {
  const found = ARCHITECTURES.get(architecture);
  if (!found) throw new Error(`no architecture ${architecture}`); // readModelConfig guarantees it
  return found;
}
