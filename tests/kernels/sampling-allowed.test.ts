import { describe, expect, it } from 'vitest';
import { MAX_SEQUENCES } from '../../src/config/limits.ts';
import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import { Sampler, type SamplerInput } from '../../src/session/sampling/sampler.ts';
import { adjustLogits, argmax, distribution, maskLogits } from '../reference/kernels/sampling.ts';
import { Random } from '../support/random.ts';
import { expectClose } from '../support/kernels/expect-close.ts';
import { normalizedEntropy } from '../support/kernels/normalized-entropy.ts';
import { CLASSES, describeVariants, type Runner } from '../support/kernels/runner.ts';
import { sampling } from '../support/kernels/sampling-run.ts';
import { byTier } from '../support/tier.ts';

const SIZES = [1, 31, 32, 33, 65, 255, 257, 4097, 49_153, 262_144];

/** Allowed tokens, as a set and as the sampler's words. */
function list(tokens: Iterable<number>, size: number) {
  const set = new Set(tokens);
  const words = new Uint32Array(Math.ceil(size / 32));
  for (const token of set) words[token >>> 5] = (words[token >>> 5] as number) | (1 << (token & 31));
  return { set, words };
}

/** A share of all tokens, including the last one. */
function someOf(size: number, share: number, random: Random) {
  const tokens = Array.from({ length: size }, (_, token) => token).filter(() => random.next() < share);
  return list([...tokens, size - 1], size);
}

function samplerOf(runner: Runner, logits: Float32Array) {
  const buffer = runner.upload(logits);
  const tokens = runner.empty(MAX_SEQUENCES * 4);
  const sampler = new Sampler(runner.device, logits.length, buffer, tokens);
  return {
    sampler,
    async next(slot: number, options: SamplingOptions, input: Partial<SamplerInput> = {}): Promise<number> {
      runner.device.gpuDevice.queue.writeBuffer(buffer, 0, logits.slice());
      sampler.record(runner.recorder, 0, { slot, sampling: options, position: 0, wantsEntropy: false, ...input });
      return new Uint32Array(await runner.read(tokens))[slot] ?? NaN;
    },
    logits: () => runner.floats(buffer),
    entropy: () => runner.floats(sampler.entropy),
  };
}

describe('a list of allowed tokens', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each(SIZES)('restricts greedy samples of %d tokens', async (size) => {
      const random = new Random(size);
      const logits = random.normals(size);
      const run = samplerOf(getRunner(), logits);
      const last = list([size - 1], size);
      const first = list([0], size);
      for (const [slot, { set, words }] of [
        someOf(size, 0.5, random),
        someOf(size, 0.02, random),
        last,
        first,
      ].entries()) {
        expect(await run.next(slot, GREEDY, { allowed: words })).toBe(argmax(maskLogits(logits, set)));
      }
      expect(await run.next(0, GREEDY)).toBe(argmax(logits));
    });

    it.each(byTier([257], [33, 257, 49_153]))('hides other tokens from filters, of %d tokens', async (size) => {
      const random = new Random(size + 1);
      const logits = random.normals(size, 2);
      const { set, words } = someOf(size, 0.3, random);
      const masked = maskLogits(logits, set);
      const run = samplerOf(getRunner(), logits);
      const token = await run.next(1, sampling({ topK: 5, temperature: 0.8 }), { allowed: words });
      const want = distribution(masked, sampling({ topK: Math.min(5, set.size) })).tokens;
      const kept = [...(await run.logits()).entries()].filter(([, logit]) => logit > -3e38).map(([at]) => at);
      expect(kept).toEqual([...want].sort((a, b) => a - b));
      expect(want).toContain(token);
    });

    it('gives samples with the probabilities of the allowed tokens', async () => {
      const size = 300;
      const random = new Random(5);
      const logits = random.normals(size);
      const { set, words } = list([3, 31, 32, 255, 299], size);
      const run = samplerOf(getRunner(), logits);
      const counts = new Map<number, number>();
      const samples = 600;
      for (let position = 0; position < samples; position++) {
        const token = await run.next(2, sampling({ seed: 9 }), { position, allowed: words });
        counts.set(token, (counts.get(token) ?? 0) + 1);
      }
      const { tokens, probabilities } = distribution(maskLogits(logits, set), sampling({}));
      tokens.forEach((token, i) => {
        if (!set.has(token)) expect(counts.get(token)).toBeUndefined();
        else expect(Math.abs((counts.get(token) ?? 0) / samples - (probabilities[i] ?? 0))).toBeLessThan(0.08);
      });
    });

    it('applies after penalties and bias; the entropy ignores all of them', async () => {
      const size = 4097;
      const random = new Random(6);
      const logits = random.normals(size);
      const { set, words } = someOf(size, 0.4, random);
      const prompt = Array.from({ length: 200 }, () => random.below(size));
      const options = {
        ...GREEDY,
        repetitionPenalty: 1.3,
        logitBias: new Map([
          [size - 1, 7],
          [2, 100],
        ]),
      };
      set.delete(2);
      words[0] = (words[0] as number) & ~4;
      const run = samplerOf(getRunner(), logits);
      run.sampler.begin(3, options, prompt);
      const token = await run.next(3, options, { allowed: words, wantsEntropy: true });
      const want = maskLogits(adjustLogits(logits, options, prompt, []), set);
      expect(token).toBe(argmax(want));
      expectClose('sample-adjust', await run.logits(), want);
      expect(Math.abs(((await run.entropy())[3] ?? NaN) - normalizedEntropy(logits))).toBeLessThan(1e-4);
    });

    it('holds only for its sequence slot', async () => {
      const size = 65;
      const logits = new Random(7).normals(size);
      const runner = getRunner();
      const run = samplerOf(runner, logits);
      const best = argmax(logits);
      const other = (best + 33) % size;
      expect(await run.next(1, GREEDY, { allowed: list([other], size).words })).toBe(other);
      expect(await run.next(2, GREEDY, { allowed: list([best], size).words })).toBe(best);
      expect(await run.next(1, GREEDY)).toBe(best);
    });
  });
});
