import { GREEDY, type SamplingOptions } from '../../config/sampling.ts';
import type { Device } from '../../gpu/device.ts';
import type { BufferRange, Recorder } from '../../gpu/recorder.ts';
import type { Check, CheckGroup } from '../../gpu/self-check.ts';
import { anyNumbers, bufferOf } from '../../models/checks/known-values.ts';
import { Sampler } from '../sampling/sampler.ts';
import { sampledToken, type PlainSample } from './plain-sample.ts';

/**
 * Logit of the likeliest token; the others decrease in steps, with two equal ones, and lie in all parts of a
 * vocabulary.
 */
const LIKELY = 10;
const LARGEST = 5;
const LESS = 0.1;
/** Logit of an unlikely token. */
const LOWEST = -3;
/** Closer scores may change places by rounding. */
const LEAST_MARGIN = 0.1;

/** Likely tokens that top-k, then top-p, then min-p leave. */
const KEPT = { topK: 8, topP: 6, minP: 5 };
const SEED = 7;

/** A sampler with known logits. */
interface Sampled {
  device: Device;
  sampler: Sampler;
  /** Buffer of the sampler's logits; it writes tokens by slot. */
  row: GPUBuffer;
  tokens: GPUBuffer;
  logits: Float32Array<ArrayBuffer>;
  /** Likely tokens, likeliest first; and the unlikely one. */
  likely: readonly number[];
  unlikely: number;
}

/**
 * Greedy sampling takes the likeliest token and gives its entropy; filters leave the right tokens, penalties subtract
 * the right amounts, and samples match their seeds.
 */
export function samplerChecks(device: Device, vocabSize: number): CheckGroup {
  const next = anyNumbers();
  const place = (i: number): number => Math.floor((vocabSize * (((22 + 7 * i) % 32) + 0.5)) / 32);
  const logits = Float32Array.from({ length: vocabSize }, () => 4 * next());
  const likely = Array.from({ length: LIKELY }, (_, i) => place(i));
  likely.forEach((token, i) => (logits[token] = LARGEST - (i - Number(i >= KEPT.topK)) * LESS)); // the first token beyond top-k is as likely as the last within
  const unlikely = place(LIKELY);
  logits[unlikely] = LOWEST;
  const [row, tokens] = [bufferOf(device, logits), bufferOf(device, new Uint32Array(4))];
  const sampler = new Sampler(device, vocabSize, row, tokens);
  const sampled = { device, sampler, row, tokens, logits, likely, unlikely };
  return {
    candidates: [],
    checks: [likeliestCheck(sampled), filterCheck(sampled), sampleCheck(sampled), penaltyCheck(sampled)],
  };
}

const likeliestCheck = (sampled: Sampled): Check => {
  const { sampler, logits, likely } = sampled;
  const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
  const entropy =
    logits.reduce((total, logit) => total - (Math.exp(logit) / sum) * (logit - Math.log(sum)), 0) /
    Math.log(logits.length);
  return check(sampled, {
    record: (recorder) => sampler.record(recorder, 0, { slot: 0, sampling: GREEDY, position: 1, wantsEntropy: true }),
    right: likely.slice(0, 1),
    also: [{ buffer: sampler.entropy, offset: 0, size: 4 }],
    expected: [entropy],
  });
};

/**
 * Top-k, then top-p over the remaining mass, mask the other logits; min-p masks none, but excludes tokens from the
 * sample.
 */
function filterCheck(sampled: Sampled): Check {
  const { sampler, row, logits, likely } = sampled;
  const temperature = 0.5;
  const mass = (count: number): number =>
    likely.slice(0, count).reduce((sum, token) => sum + Math.exp((logits[token]! - LARGEST) / temperature), 0);
  const topP = (mass(KEPT.topP - 1) + mass(KEPT.topP)) / 2 / mass(KEPT.topK);
  const minP = Math.exp(((0.5 - KEPT.minP) * LESS) / temperature);
  const left = new Map(likely.slice(0, KEPT.topP).map((token) => [token, logits[token]!]));
  // A sample that min-p alone decides.
  const options = { temperature, minP, seed: SEED };
  const barred = likely[KEPT.topP - 1];
  const position = sure(
    (at) =>
      [
        { ...options, position: at, minP: 0 },
        { ...options, position: at },
      ].map((sample) => sampledToken(left, sample)),
    ([first]) => first?.token === barred,
  );
  return check(sampled, {
    record: (recorder) =>
      sampler.record(recorder, 0, {
        slot: 0,
        sampling: { ...GREEDY, ...options, topK: KEPT.topK, topP },
        position,
        wantsEntropy: false,
      }),
    right: [sampledToken(left, { ...options, position }).token],
    also: likely.map((token) => ({ buffer: row, offset: token * 4, size: 4 })),
    expected: likely.map((token, i) => (i < KEPT.topP ? logits[token]! : -3e38)),
  });
}

/** Samples from all tokens, by slot. */
function sampleCheck(sampled: Sampled): Check {
  const { sampler, logits } = sampled;
  const samples: PlainSample[] = [];
  for (let slot = 0; slot < 2; slot++) {
    const options = { temperature: 0.5, minP: 0, seed: SEED + slot };
    samples.push({ ...options, position: sure((position) => [sampledToken(logits, { ...options, position })]) });
  }
  return check(sampled, {
    record(recorder) {
      samples.forEach(({ position, ...options }, slot) =>
        sampler.record(recorder, 0, { slot, sampling: { ...GREEDY, ...options }, position, wantsEntropy: false }),
      );
    },
    right: samples.map((sample) => sampledToken(logits, sample).token),
  });
}

/** The first position whose samples are clear, and accepted by `wanted`. */
function sure(
  sampledAt: (position: number) => ReturnType<typeof sampledToken>[],
  isWanted: (sampled: ReturnType<typeof sampledToken>[]) => boolean = () => true,
): number {
  for (let position = 1; ; position++) {
    const sampled = sampledAt(position);
    if (sampled.every(({ margin }) => margin > LEAST_MARGIN) && isWanted(sampled)) return position;
  }
}

/** Two samples in a row: the second counts the first. */
function penaltyCheck(sampled: Sampled): Check {
  const { sampler, row, logits, likely, unlikely } = sampled;
  const [first, inPrompt, biased, second, repeated] = likely as [number, number, number, number, number];
  const sampling: SamplingOptions = {
    ...GREEDY,
    repetitionPenalty: 1.3,
    presencePenalty: 0.5,
    frequencyPenalty: 0.25,
    logitBias: new Map([[biased, -1.5]]),
  };
  const penalized = (logit: number, count: number): number =>
    (logit > 0 ? logit / sampling.repetitionPenalty : logit * sampling.repetitionPenalty) -
    sampling.frequencyPenalty * count -
    (count > 0 ? sampling.presencePenalty : 0);
  const twice = (token: number, count: number): number => penalized(penalized(logits[token]!, count), count);
  const values = new Map([
    [first, penalized(logits[first]!, 1)],
    [inPrompt, twice(inPrompt, 0)],
    [unlikely, twice(unlikely, 0)],
    [biased, logits[biased]! - 3],
    [second, logits[second]!],
    [repeated, twice(repeated, 2)],
  ]);
  return check(sampled, {
    record(recorder) {
      const prompt = [inPrompt, unlikely, repeated];
      sampler.begin(0, sampling, prompt);
      sampler.recount(0, sampling, [repeated], { prompt, answer: [repeated, repeated] });
      for (let sample = 0; sample < 2; sample++)
        sampler.record(recorder, 0, { slot: 0, sampling, position: sample, wantsEntropy: false });
    },
    right: [second],
    also: [...values.keys()].map((token) => ({ buffer: row, offset: token * 4, size: 4 })),
    expected: [...values.values()],
  });
}

interface Case {
  record: (recorder: Recorder) => void;
  /** Whether each slot's token is right. */
  right: readonly number[];
  /** Other numbers, and their expected values. */
  also?: readonly BufferRange[];
  expected?: readonly number[];
}

const check = ({ device, row, tokens, logits }: Sampled, { record, right, also = [], expected = [] }: Case): Check => ({
  name: 'sampler',
  make: () => (recorder) => {
    device.gpuDevice.queue.writeBuffer(row, 0, logits);
    record(recorder);
  },
  result: [{ buffer: tokens, offset: 0, size: right.length * 4 }, ...also],
  read(bytes) {
    const numbers = [...new Float32Array(bytes, right.length * 4)];
    return [...right.map((token, slot) => Number(new Uint32Array(bytes)[slot] === token)), ...numbers];
  },
  expected: [...right.map(() => 1), ...expected],
  row: 1,
});
