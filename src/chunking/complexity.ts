import { CacheModel } from './ngram-model.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Estimates the complexity of a text's tokens. It learns from the text, so each sequence needs its own. */
export interface ComplexityEstimator {
  /**
   * Complexity in [0, 1] of the next token, given the tokens up to and including it.
   * `entropy`: for tokens that the model sampled, the entropy of their logits (before temperature, penalties and masks)
   * over its maximum, ln(vocabSize).
   */
  push(token: number, entropy?: number): number;
}

/** The part of a tokenizer that planning needs. */
export interface Vocabulary {
  readonly size: number;
  /** The token's text; part of a character may be U+FFFD. */
  text(token: number): string;
  /** Unnormalized prior weight of each token. Default: derived from the id, since ids follow the order of merges. */
  readonly prior?: ArrayLike<number>;
}

export const ESTIMATORS = {
  /** Surprisal under a cache model: repetitions are easy, new names and numbers are hard. Ignores entropies. */
  surprisal: (vocabulary: Vocabulary): ComplexityEstimator => new Surprisal(vocabulary),
  /** Entropy of the next token under an n-gram cache model: an adapter matters most where many tokens can follow. */
  ngramEntropy: (vocabulary: Vocabulary): ComplexityEstimator => new NgramEntropy(vocabulary),
  /** @deprecated The old name of `ngramEntropy`. */
  openness: (vocabulary: Vocabulary): ComplexityEstimator => new NgramEntropy(vocabulary),
  /** The model's own entropy if given, otherwise (in a prompt) surprisal. */
  entropy: (vocabulary: Vocabulary): ComplexityEstimator => new Entropy(new Surprisal(vocabulary)),
  /** Baseline: bytes of the token's text over 16, at most 1. */
  length: (vocabulary: Vocabulary): ComplexityEstimator => new Length(vocabulary),
  /** Baseline: position t as t / (t + 256). */
  position: (): ComplexityEstimator => new Position(),
  /** Baseline: surprisal under the prior, over that of the least likely token. */
  unigram: (vocabulary: Vocabulary): ComplexityEstimator => new Unigram(vocabulary),
} as const;

export type EstimatorName = keyof typeof ESTIMATORS;

/** Shift of the Zipf–Mandelbrot law; of 2^4 to 2^12 the best fit to SmolLM2's ids of English text. */
const ZIPF_SHIFT = 32;

/** Prior probability of every token: the vocabulary's weights, or a Zipf law over ids. Errors: `bad_request`. */
export function tokenPrior({ size, prior }: Vocabulary): Float64Array {
  if (prior && prior.length !== size) {
    const reason = `${prior.length} weights for ${size} tokens`;
    throw new ChunkwiseError('bad_request', { field: 'prior', reason });
  }
  // Plain loops for speed: this runs for every text over the whole vocabulary.
  const weights = new Float64Array(size);
  let sum = 0;
  for (let id = 0; id < size; id++) {
    const weight = prior ? prior[id]! : 1 / (id + ZIPF_SHIFT);
    // 0 is an error: a token of weight 0 could still occur.
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
 * Bits per token of the cache model at position t of ordinary text, as a share of log2(vocabSize): it falls with every
 * doubling of the text. Fitted to articles, drama and code in SmolLM2's tokens.
 */
const ordinaryShare = (t: number): number => Math.max(LEAST_SHARE, 0.9 - 0.04 * Math.log2(1 + t / 4));

/**
 * Bits under the cache model relative to ordinary text: 0.5 for the usual cost at a position, 1 for twice that or more.
 * Digits are compared with uniformly random digits instead, whose cost counts as 1: random digits are as hard as digits
 * get, at only 3.3 bits each.
 */
class Surprisal implements ComplexityEstimator {
  /** Model of the text so far. */
  readonly model: CacheModel;
  private readonly vocabularyBits: number;
  /** Bits of as many random digits, by token seen; -1 for other text. */
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

  /** Bits of as many random digits; undefined for other text. */
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

/** Normalized n-gram entropy of ordinary text after position t; it falls as the model sees more text. */
const ordinaryEntropy = (t: number): number => Math.max(0.4, 1 - 0.045 * Math.log2(1 + t / 4));

/** Least tokens of a line that counts as a paragraph: lines of verse, code and lists are shorter. */
const PARAGRAPH_TOKENS = 24;
/** Tokens of a line after which a new paragraph counts as under way. */
const TURN_TOKENS = 8;
/** Least surprisal of a paragraph break: an expected one is part of a repetition. */
const LEAST_TURN_SURPRISAL = 0.1;

/**
 * 0.5 for the n-gram entropy of ordinary text at this position. 1 from the end of a paragraph, over headings and empty
 * lines, until the next paragraph is under way: there an adapter decides what begins (figures:
 * docs/decisions/adapter-ranks.md). Digits use their surprisal, and so do the separators between them: entropy would
 * underestimate digits, since only ten of them can follow.
 */
class NgramEntropy implements ComplexityEstimator {
  private readonly surprisal: Surprisal;
  private position = 0;
  /** Tokens of the current line. */
  private line = 0;
  /** A paragraph has ended, and the next is not yet under way. */
  private turns = false;
  /** Surprisal of the preceding digits, skipping separators. */
  private digits: number | undefined;

  constructor(private readonly vocabulary: Vocabulary) {
    this.surprisal = new Surprisal(vocabulary);
  }

  push(token: number): number {
    const surprisal = this.surprisal.push(token);
    const entropy = this.surprisal.model.ngramEntropy() / (2 * ordinaryEntropy(this.position++));
    const text = this.vocabulary.text(token);
    if (text.includes('\n')) {
      this.turns ||= this.line >= PARAGRAPH_TOKENS && surprisal >= LEAST_TURN_SURPRISAL;
      this.line = 0;
    } else if (++this.line > TURN_TOKENS) this.turns = false;
    if (this.surprisal.digitBitsOf(token) !== undefined) this.digits = surprisal;
    else if (/[\p{L}\n]/u.test(text)) this.digits = undefined;
    return this.turns ? 1 : Math.min(1, this.digits ?? entropy);
  }
}

/** Complexity of a token sampled at a normalized entropy. The square root spreads small values like surprisal, so that the same thresholds fit. */
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
