/** Largest NMSE of centred logits between two computations of the same; the only such table in this folder. */
export const NMSE = {
  /** F32 models against llama.cpp. */
  llamaFloat: 1e-6,
  /** Quantized models against llama.cpp, whose CPU path rounds activations to 8 bits. */
  llamaQuantized: 1e-3,
  /** Any model against the f64 reference on the same bytes: our cache holds f16. */
  reference: 1e-5,
  /** The f64 reference against llama.cpp on F32 models. */
  referenceToLlama: 1e-9,
  /** Kernel variants, prompts in pieces, cached prefixes: the same sums in another order. */
  sameModel: 1e-6,
} as const;

/** The real model against llama.cpp on prose: relative difference of perplexity, and nats of a token's likelihood. */
export const PERPLEXITY = { relative: 0.005, meanNatsOfAToken: 0.1 } as const;
