import { CacheModel } from './ngram-model.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** How hard each token of one text is. Holds what it learned from the text so far: one estimator a sequence. */
export interface ComplexityEstimator {
  /**
   * Complexity in [0, 1] of the next token, from the tokens up to and including it.
   * `entropy`: where the model itself drew the token, the entropy of the logits it was drawn from (before temperature,
   * penalties and masks) over its largest value, ln(vocabSize).
   */
  push(token: number, entropy?: number): number;
}

/** What planning has to know of a tokenizer. */
export interface Vocabulary {
  readonly size: number;
  /** The token's text; half a character may come as U+FFFD. */
  text(token: number): string;
  /** How likely each token is in any text, as weights of any sum. Default: by id, as ids follow the order of merges. */
  readonly prior?: ArrayLike<number>;
}

export const ESTIMATORS = {
  /** Surprisal under a cache model: what is repeated is easy, new names and numbers are hard. Entropies are ignored. */
  surprisal: (vocabulary: Vocabulary): ComplexityEstimator => new Surprisal(vocabulary),
  /** How open the cache model finds what comes after the token: where much can follow, an adapter has its say. */
  openness: (vocabulary: Vocabulary): ComplexityEstimator => new Openness(vocabulary),
  /** The model's own entropy where it is given, surprisal elsewhere (a prompt). */
  entropy: (vocabulary: Vocabulary): ComplexityEstimator => new Entropy(new Surprisal(vocabulary)),
  /** Baseline: bytes of text; 16 and more are 1. */
  length: (vocabulary: Vocabulary): ComplexityEstimator => new Length(vocabulary),
  /** Baseline: position t as t / (t + 256). */
  position: (): ComplexityEstimator => new Position(),
  /** Baseline: surprisal under the prior alone, over that of the least likely token. */
  unigram: (vocabulary: Vocabulary): ComplexityEstimator => new Unigram(vocabulary),
} as const;

export type EstimatorName = keyof typeof ESTIMATORS;

/** Complexity of every token of a text; what pushing them one by one gives. */
export function estimate(estimator: ComplexityEstimator, tokens: Iterable<number>): number[] {
  return Array.from(tokens, (token) => estimator.push(token));
}

/** Zipf and Mandelbrot's law; the shift fits the ids SmolLM2 gives English text best of 2^4 to 2^12. */
const ZIPF_SHIFT = 32;

/** Probability of every token: the vocabulary's own weights, or what its id suggests. Errors: `bad_request`. */
export function tokenPrior({ size, prior }: Vocabulary): Float64Array {
  if (prior && prior.length !== size) {
    const reason = `${prior.length} weights for ${size} tokens`;
    throw new ChunkwiseError('bad_request', { field: 'prior', reason });
  }
  // Plain loops: every text's estimator begins here, and vocabularies are long.
  const weights = new Float64Array(size);
  let sum = 0;
  for (let id = 0; id < size; id++) {
    const weight = prior ? prior[id]! : 1 / (id + ZIPF_SHIFT);
    // Not 0: a token the weights rule out may come all the same.
    if (!(weight > 0 && weight < Infinity)) {
      throw new ChunkwiseError('bad_request', { field: 'prior', reason: `weight ${weight} of token ${id}` });
    }
    weights[id] = weight;
    sum += weight;
  }
  for (let id = 0; id < size; id++) weights[id]! /= sum;
  return weights;
}

const BITS_PER_DIGIT = Math.log2(10);
const LEAST_SHARE = 0.3;

/**
 * What the cache model needs for the token at position t of ordinary text, as a share of log2(vocabSize): it begins
 * knowing nothing and learns with every doubling of the text. Fits articles, drama and code as SmolLM2 tokenises them.
 */
const ordinaryShare = (t: number): number => Math.max(LEAST_SHARE, 0.9 - 0.04 * Math.log2(1 + t / 4));

/**
 * Bits under the cache model against what is ordinary: 0.5 where a token costs what ordinary text costs at its
 * position, 1 at twice that and above. Digits are held against a uniform draw of as many digits instead, and 1 is what
 * that costs: in random order they are as hard as digits get, though each is but 3.3 bits.
 */
class Surprisal implements ComplexityEstimator {
  /** Of the text so far. */
  readonly model: CacheModel;
  private readonly vocabularyBits: number;
  /** By token, once seen: bits of a uniform draw of as many digits, or -1 for other text. */
  private readonly digitBits = new Map<number, number>();
  private position = 0;

  constructor(private readonly vocabulary: Vocabulary) {
    this.model = new CacheModel(tokenPrior(vocabulary));
    this.vocabularyBits = Math.log2(vocabulary.size);
  }

  push(token: number): number {
    const bits = -Math.log2(this.model.probability(token));
    this.model.learn(token);
    const ordinary = ordinaryShare(this.position++) * this.vocabularyBits;
    return Math.min(1, bits / (this.digitBitsOf(token) ?? 2 * ordinary));
  }

  /** Bits of a uniform draw of as many digits; undefined for other text. */
  digitBitsOf(token: number): number | undefined {
    let bits = this.digitBits.get(token);
    if (bits === undefined) {
      const digits = /^\s*(\p{Nd}+)$/u.exec(this.vocabulary.text(token))?.[1];
      bits = digits === undefined ? -1 : digits.length * BITS_PER_DIGIT;
      this.digitBits.set(token, bits);
    }
    return bits < 0 ? undefined : bits;
  }
}

/** How open ordinary text is after the token at position t: the model has seen ever more of what follows what. */
const ordinaryOpenness = (t: number): number => Math.max(0.4, 1 - 0.045 * Math.log2(1 + t / 4));

/** Tokens of a line that make it a paragraph: lines of verse, code and lists are shorter. */
const PARAGRAPH_TOKENS = 24;
/** Of a line, by which it is known what begins. */
const TURN_TOKENS = 8;
/** Surprisal of a break: where the cache model expected it, the text repeats itself and does not turn. */
const LEAST_TURN_SURPRISAL = 0.1;

/**
 * 0.5 where what comes next is as open as in ordinary text at this position, 1 from a paragraph's end to where a line
 * has run on for a while, over headings and empty lines: there an adapter decides what begins (docs/decisions/adapter-ranks.md has
 * figures). Digits keep their surprisal, and what parts them is as hard as they are: ten of them follow each other in
 * any order, which is less open than words are and yet as hard as digits get.
 */
class Openness implements ComplexityEstimator {
  private readonly surprisal: Surprisal;
  private position = 0;
  /** Tokens of the line so far. */
  private line = 0;
  /** A paragraph has ended, and no other one is on its way. */
  private turns = false;
  /** Of the digits right before, past what parts them. */
  private digits: number | undefined;

  constructor(private readonly vocabulary: Vocabulary) {
    this.surprisal = new Surprisal(vocabulary);
  }

  push(token: number): number {
    const surprisal = this.surprisal.push(token);
    const openness = this.surprisal.model.openness() / (2 * ordinaryOpenness(this.position++));
    const text = this.vocabulary.text(token);
    if (text.includes('\n')) {
      this.turns ||= this.line >= PARAGRAPH_TOKENS && surprisal >= LEAST_TURN_SURPRISAL;
      this.line = 0;
    } else if (++this.line > TURN_TOKENS) this.turns = false;
    if (this.surprisal.digitBitsOf(token) !== undefined) this.digits = surprisal;
    else if (/[\p{L}\n]/u.test(text)) this.digits = undefined;
    return this.turns ? 1 : Math.min(1, this.digits ?? openness);
  }
}

/** Of a token drawn at a normalized entropy: its root spreads small ones as surprisal does, so the same thresholds serve. */
export const entropyComplexity = (entropy: number): number => Math.sqrt(Math.min(1, Math.max(0, entropy)));

class Entropy implements ComplexityEstimator {
  constructor(private readonly prompt: ComplexityEstimator) {}

  push(token: number, entropy?: number): number {
    const complexity = this.prompt.push(token);
    return entropy === undefined ? complexity : entropyComplexity(entropy);
  }
}

const LONG_TOKEN_BYTES = 16;
const encoder = new TextEncoder();

class Length implements ComplexityEstimator {
  constructor(private readonly vocabulary: Vocabulary) {}

  push(token: number): number {
    return Math.min(1, encoder.encode(this.vocabulary.text(token)).length / LONG_TOKEN_BYTES);
  }
}

const MIDDLE_POSITION = 256;

class Position implements ComplexityEstimator {
  private position = 0;

  push(): number {
    const position = this.position++;
    return position / (position + MIDDLE_POSITION);
  }
}

class Unigram implements ComplexityEstimator {
  private readonly prior: Float64Array;
  private readonly most: number;

  constructor(vocabulary: Vocabulary) {
    this.prior = tokenPrior(vocabulary);
    this.most = Math.log(this.prior.reduce((least, probability) => Math.min(least, probability), 1));
  }

  push(token: number): number {
    return this.most === 0 ? 0 : Math.log(this.prior[token]!) / this.most;
  }
}
