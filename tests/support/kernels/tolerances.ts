/**
 * Largest error allowed, as a fraction of the scale of the values (their RMS unless a test says otherwise), for each
 * kernel on every adapter. In WGSL exp and inverseSqrt may be off by a few ulps, and a conversion to f16 may round either way
 * (2^-10 at worst).
 */
export const TOLERANCES = {
  embed: 1e-6,
  'rms-norm': 5e-6,
  'layer-norm': 5e-6,
  'linear-decode': 5e-6,
  'linear-prefill': 5e-6,
  'gated-activation': 2e-6,
  'short-conv': 5e-6,
  'route-experts': 2e-6,
  'sum-experts': 2e-6,
  /** The approximation of the error function is within 1.5e-7. */
  activate: 1e-6,
  'pool-texts': 2e-6,
  'causal-conv': 5e-6,
  /** A state is a sum over all tokens, and its decay a power of an exponential. */
  'delta-rule': 2e-5,
  /** Relative to each element. */
  'store-kv': 2 ** -10,
  /** Means rounded to half. */
  /** Keys and values rounded to half. */
  attention: 2e-5,
  'attention-texts': 2e-5,
  'rotate-heads': 5e-6,
  /** A score of 1e4 is known to 1e-3 in f32, and so is its exponential. */
  'attention, scores of 1e4': 2e-2,
  /** Relative to rotation at absolute positions, with keys and values that are not rounded to f16. */
  'attention, unrounded': 5e-3,
  'attention-merge': 2e-6,
  'sample-adjust': 2e-6,
  lora: 1e-5,
} as const;

export type Tolerance = keyof typeof TOLERANCES;
