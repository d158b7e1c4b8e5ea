import { MAX_SEQUENCES } from '../../../src/config/limits.ts';
import { GREEDY, type SamplingOptions } from '../../../src/config/sampling.ts';
import { Sampler } from '../../../src/session/sampling/sampler.ts';
import { distribution } from '../../reference/kernels/sampling.ts';
import type { Random } from '../random.ts';
import type { Runner } from './runner.ts';

/** Size of a real vocabulary (Qwen's has 151,936 tokens). */
export const VOCABULARY = 152_000;

/** Logit of a token that a filter has masked. */
const MASKED = -3e38;

/** Samples of one submission: each needs params, and a recorder has room for this many. */
const SAMPLES_AT_ONCE = 240;

export const sampling = (options: Partial<SamplingOptions>): SamplingOptions => ({
  ...GREEDY,
  temperature: 1,
  ...options,
});

/** A sampler over `logits`. */
export class SamplingRun {
  readonly #sampler: Sampler;
  readonly #logits: GPUBuffer;
  readonly #tokens: GPUBuffer;
  readonly #results: GPUBuffer;

  constructor(
    private readonly runner: Runner,
    logits: Float32Array,
  ) {
    this.#logits = runner.upload(logits);
    this.#tokens = runner.empty(MAX_SEQUENCES * 4);
    this.#results = runner.empty(SAMPLES_AT_ONCE * 4);
    this.#sampler = new Sampler(runner.device, logits.length, this.#logits, this.#tokens);
  }

  restore(logits: Float32Array): void {
    this.runner.device.gpuDevice.queue.writeBuffer(this.#logits, 0, logits.slice());
  }

  begin(options: SamplingOptions, prompt: readonly number[]): void {
    this.#sampler.begin(0, options, prompt);
  }

  /** Samples one token; filters change the logits in place. */
  async next(options: SamplingOptions, position = 0): Promise<number> {
    this.#record(options, position);
    return new Uint32Array(await this.runner.read(this.#tokens))[0] ?? NaN;
  }

  #record(sampling: SamplingOptions, position: number): void {
    this.#sampler.record(this.runner.recorder, 0, { slot: 0, sampling, position, wantsEntropy: false });
  }

  logits(): Promise<Float32Array> {
    return this.runner.floats(this.#logits);
  }

  /** Tokens that the filters have kept so far, ascending. */
  async kept(): Promise<number[]> {
    const tokens: number[] = [];
    (await this.logits()).forEach((logit, token) => {
      if (logit > MASKED) tokens.push(token);
    });
    return tokens;
  }

  /** Samples `count` tokens, the ith with the options and position of `at(i)`. Filters apply to the logits that the previous sample left. */
  async sample(count: number, at: (i: number) => { options: SamplingOptions; position: number }): Promise<number[]> {
    const sampled: number[] = [];
    while (sampled.length < count) {
      const now = Math.min(SAMPLES_AT_ONCE, count - sampled.length);
      this.runner.recorder.inOneGo(() => {
        for (let i = 0; i < now; i++) {
          const { options, position } = at(sampled.length + i);
          this.#record(options, position);
          this.runner.recorder.copy(this.#tokens, 0, this.#results, i * 4, 4);
        }
      });
      sampled.push(...new Uint32Array(await this.runner.read(this.#results)).subarray(0, now));
    }
    return sampled;
  }
}

/** Logits of probabilities that fall as rank^(−1.5): few tokens have nearly all of the probability. */
export function peakedLogits(size: number, random: Random): Float32Array {
  const ranks = Array.from({ length: size }, (_, i) => ({ rank: i + 1, key: random.next() }));
  return Float32Array.from(
    ranks.sort((a, b) => a.key - b.key),
    ({ rank }) => 9 - 1.5 * Math.log(rank),
  );
}

/** Logits of probabilities within a factor of about five: the nucleus is a large part of the vocabulary. */
export const flatLogits = (size: number, random: Random): Float32Array => random.normals(size, 0.2, -3);

/** `options` with a top-p midway between two sums of probabilities, so that rounding does not change the kept tokens. */
export function midway(logits: Float32Array, options: SamplingOptions): SamplingOptions {
  if (options.topP === 1) return options;
  const all = distribution(logits, { ...options, topP: 1, minP: 0 });
  let mass = 0;
  const last = all.probabilities.findIndex((probability) => (mass += probability) >= options.topP);
  return { ...options, topP: mass - (all.probabilities[last] ?? 0) / 2 };
}
