import type { KvOptions } from '../../src/cache/policy.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { Random } from '../support/random.ts';

/** f16 pages of the tiny model's two layers. */
const PAGE_BYTES = 2 * 16384;
const CONTEXT = 512;

/** How an answer is read. `after`: tokens; for `abort early`, turns of the event loop. */
export type Reader =
  { does: 'read' } | { does: 'leave' | 'abort' | 'stay away'; after: number } | { does: 'abort early'; after: number };

/** One request, or several answers to one. */
export interface Asked {
  prompt: string;
  options: Omit<GenerateOptions, 'signal'>;
  /** Number of answers. */
  count: number;
  reader: Reader;
  /** Turns of the event loop before the request. */
  delay: number;
}

/** Other operations during the answers. */
export type Beside =
  | { does: 'embed'; texts: string[]; adapters: GenerateOptions['adapters'] }
  /** Loads or unloads an unused adapter. */
  | { does: 'load or unload' }
  | { does: 'save' | 'load'; name: string };

export interface Round {
  asked: Asked[];
  beside: (Beside & { delay: number })[];
}

const WORDS =
  'wind sea cave harbour clerk map lamp snow letter 17 {"a": "Zürich" — and, of the not who; where? I'.split(' ');
/** Prefixes that requests share, within a round and across rounds. */
const STORIES = [
  'Seven winds blow over the sea, and the eighth waits in a cave. ',
  'Two clerks argued over maps: ',
].map((story) => story.repeat(4));

const FORMATS = [
  { type: 'grammar', grammar: 'root ::= "ab" [cd]{3,9} ("!" | "?")' },
  {
    type: 'json_schema',
    schema: {
      type: 'object',
      properties: { a: { type: 'integer' }, b: { enum: ['x', 'yy'] } },
      required: ['a', 'b'],
      additionalProperties: false,
    },
  },
  { type: 'json_object' },
] as const;

/** The requests of a round, determined by the seed. */
export function randomRound(seed: number): Round {
  const random = new Random(seed);
  const asked = Array.from({ length: 2 + random.below(5) }, (_, i) =>
    randomRequest(random, `${seed.toString(36)}.${i} `),
  );
  const beside =
    random.next() < 0.4 ? [{ ...randomBeside(random, `${seed.toString(36)}. `), delay: random.below(40) }] : [];
  return { asked, beside };
}

const oneOf = <T>(random: Random, values: readonly T[]): T => values[random.below(values.length)] as T;

function randomText(random: Random, length: number): string {
  let text = '';
  while (text.length < length) text += `${oneOf(random, WORDS)} `;
  return text.slice(0, length);
}

function randomRequest(random: Random, head: string): Asked {
  const chance = random.next();
  const kv = randomKv(random);
  const dense = kv.kv === undefined;
  const shifts = kv.kv === 'policy' && random.next() < 0.1;
  const count = dense && random.next() < 0.15 ? 2 + random.below(3) : 1;
  const adapters = randomAdapters(random);
  // Cached tokens keep the forms and ranks they were computed with, so that prompts with a shared prefix must use neither.
  const alike = dense && !adapters.adapters && random.next() < 0.4;
  const length = shifts ? CONTEXT - 30 + random.below(25) : 10 + random.below(random.next() < 0.2 ? 300 : 120);
  const prompt = alike
    ? oneOf(random, STORIES).slice(0, 20 + random.below(230)) + randomText(random, 1 + random.below(60))
    : head + randomText(random, length);
  const options = {
    ...{ ...kv, ...adapters, stop: random.next() < 0.2 ? ['the', 'qu'] : [] },
    maxTokens: shifts ? 40 + random.below(40) : 1 + random.below(24),
    sampling: {
      ...GREEDY,
      ...(random.next() < 0.3 && {
        presencePenalty: 0.5,
        frequencyPenalty: 0.7,
        logitBias: new Map([
          [40, -1],
          [41, 1],
        ]),
      }),
    },
    ...(chance < 0.15 && { responseFormat: oneOf(random, FORMATS) }),
    ...(random.next() < 0.3 && { topLogprobs: random.below(4) }),
    ...(random.next() < 0.2 && { wantsEntropy: true }),
  };
  const reader = count > 1 ? { does: 'read' as const } : randomReader(random);
  if (random.next() < 0.02)
    return { prompt, count: 1, reader, delay: 0, options: { ...options, adapters: [{ name: 'unknown', scale: 1 }] } };
  if (random.next() < 0.02)
    return {
      prompt: randomText(random, 2 * CONTEXT),
      count: 1,
      reader,
      delay: 0,
      options: { ...options, kv: 'dense' },
    };
  return { prompt, options, count, reader, delay: random.below(60) };
}

function randomReader(random: Random): Reader {
  const does = oneOf(random, ['read', 'read', 'read', 'read', 'leave', 'abort', 'stay away', 'abort early'] as const);
  return does === 'read' ? { does } : { does, after: 1 + random.below(does === 'abort early' ? 60 : 12) };
}

/** Empty for a dense cache. */
function randomKv(random: Random): KvOptions {
  const kv = oneOf(random, [undefined, undefined, 'q8', 'q4', 'q3', 'k3v2', 'policy', 'policy', 'sparse'] as const);
  if (kv === undefined) return {};
  const kvShadow = random.next() < 0.5;
  const kvMemoryBudget = (1 + random.below(5)) * PAGE_BYTES;
  if (kv === 'sparse') return { kv, kvShadow, ...(random.next() < 0.7 && { kvMemoryBudget }) };
  if (kv !== 'policy') return { kv, kvShadow };
  return {
    ...{ kv, kvShadow },
    ...(random.next() < 0.7 && { kvErrorBudget: oneOf(random, [0, 0.05, 1.5, 16]) }),
    ...(random.next() < 0.5 && {
      kvMemoryBudget,
      kvPriority: oneOf(random, ['error', 'memory'] as const),
    }),
  };
}

function randomAdapters(random: Random): Pick<GenerateOptions, 'adapters' | 'ranks' | 'rankErrorBudget'> {
  if (random.next() < 0.5) return {};
  const names = oneOf(random, [['a'], ['b'], ['a', 'b']] as const);
  return {
    adapters: names.map((name) => ({ name, scale: oneOf(random, [1, 0.5, -0.5]) })),
    ...(random.next() < 0.5 && { ranks: oneOf(random, ['uniform', 'chunkwise', 'shuffled'] as const) }),
    ...(random.next() < 0.3 && { rankErrorBudget: oneOf(random, [0.2, 0.8]) }),
  };
}

function randomBeside(random: Random, head: string): Beside {
  const does = oneOf(random, ['embed', 'embed', 'load or unload', 'load or unload', 'save', 'load'] as const);
  if (does === 'load or unload') return { does };
  if (does !== 'embed') return { does, name: oneOf(random, ['x', 'y']) };
  const texts = Array.from({ length: 1 + random.below(3) }, () => head + randomText(random, 5 + random.below(150)));
  return { does, texts, adapters: random.next() < 0.3 ? [{ name: 'a', scale: 1 }] : [] };
}
