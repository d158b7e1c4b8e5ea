import { ChunkwiseError, handled } from '../../errors/chunkwise-error.ts';
import { type SampledToken, greedy } from '../sampling/sampler.ts';
import { commonPrefix, type Sequence } from '../sequence.ts';
import type { Session } from '../session.ts';
import { Hits, type StepCosts } from './step-costs.ts';

/** Assumed chance that a drafted token is accepted, until an answer has shown it. */
const ASSUMED_CHANCE = 0.7;

export interface ModelDraftsParts {
  draftModel: Session;
  /** Its sequence slot. */
  slot: number;
  /** Tokens that both models have. */
  vocabSize: number;
  /** Step costs of the target model. */
  costs: StepCosts;
}

/** Drafts with a smaller model, greedily. It reads the text beside the target model, from `begin` on. */
export class ModelDrafts {
  readonly #text: number[];
  /** Tokens of the prompt. */
  readonly #began: number;
  readonly #hits = new Hits(ASSUMED_CHANCE);
  /** Tokens of the text at the last draft. */
  #known = 0;
  /** Tokens of the last draft that are not compared with the text yet. */
  #expected: number[] = [];
  /** The draft model's sequence: the text, and its drafts. */
  #sequence: Sequence | undefined;
  #isReady = false;
  readonly #ended = new AbortController();
  /** Settles when no work is in flight. */
  #work: Promise<void> = Promise.resolve();

  constructor(
    text: readonly number[],
    private readonly parts: ModelDraftsParts,
  ) {
    this.#text = [...text];
    this.#began = text.length;
  }

  /** Whether the draft model has read the text and has room for more. */
  get isReady(): boolean {
    return this.#isReady && this.#text.length < this.#contextLength;
  }

  /** Chance that a drafted token is accepted after accepted ones. */
  get chance(): number {
    return this.#hits.chance;
  }

  /** Starts to read the text. After an error nothing is drafted. */
  begin(): void {
    void handled(this.#do(() => this.#begin()));
  }

  async #begin(): Promise<void> {
    const { draftModel, slot } = this.parts;
    if (this.#text.length >= this.#contextLength || !this.#text.every((token) => this.#isKnown(token))) return;
    this.#sequence = draftModel.sequences.take(this.#text, { slot });
    await this.#read(this.#text, this.#text.length + 1, () => undefined); // the target model has read all of it
    this.#isReady = true;
  }

  /** Appends a token of the text, and compares it with the draft. */
  push(token: number): void {
    this.#text.push(token);
    const expected = this.#expected.shift();
    if (!this.#isKnown(token)) this.#isReady = false;
    if (expected === undefined) return;
    this.#hits.push(expected === token);
    if (expected !== token) this.#expected = [];
  }

  /** Up to `most` drafted tokens; none before the model has read the text, or after an error. */
  async next(most: number): Promise<number[]> {
    const count = Math.min(most, this.#contextLength - this.#text.length);
    this.#expected = [];
    if (!this.isReady || count <= 0) return [];
    await this.#do(async () => {
      const began = performance.now();
      const sampled = await this.#draft(count);
      this.parts.costs.drafted(count, performance.now() - began);
      const end = sampled.findIndex((token) => !this.#isKnown(token));
      this.#expected = end < 0 ? sampled : sampled.slice(0, end);
    });
    return this.#expected.slice();
  }

  /** Resolves when no work is in flight. */
  async settled(): Promise<void> {
    await this.#work;
  }

  /** Waits for work in flight, and gives the sequence back to the prefix cache. */
  async close(): Promise<void> {
    this.#ended.abort();
    await this.settled();
    const { draftModel } = this.parts;
    if (!this.#sequence || draftModel.device.lost() !== undefined) return;
    // A draft head has read its drafts from its own hidden states, not the model's.
    if (draftModel.transformer.hiddenStates) draftModel.sequences.goBack(this.#sequence, this.#known, this.#began);
    draftModel.sequences.giveBack(this.#sequence);
  }

  get #contextLength(): number {
    return this.parts.draftModel.plan.contextLength;
  }

  #isKnown(token: number): boolean {
    return token < this.parts.vocabSize;
  }

  /** Samples greedily after the text. Submits each step before it reads the one before. */
  async #draft(count: number): Promise<number[]> {
    const { draftModel } = this.parts;
    const sequence = this.#sequence as Sequence; // `next` requires isReady
    const text = this.#text; // the text grows when the draft is verified
    // A draft head reads its accepted drafts again, from the model's hidden states.
    const right = draftModel.transformer.hiddenStates ? this.#known : commonPrefix(sequence.tokens, text);
    draftModel.sequences.goBack(sequence, Math.min(right, text.length - 1), this.#began);
    const steps: Promise<SampledToken>[] = [];
    await this.#read(text, text.length, (length) =>
      steps.push(handled(draftModel.batches.sample(length, greedy(sequence, text.length)))),
    );
    while (steps.length < count) {
      const step = draftModel.batches.decode([greedy(sequence, text.length + steps.length)]);
      steps.push(handled(step.then(([sampled]) => sampled as SampledToken)));
    }
    const sampled = (await Promise.all(steps)).map(({ token }) => token);
    sequence.tokens.push(...sampled.slice(0, -1)); // the step after each computed it
    return sampled;
  }

  /**
   * Reads the tokens of `text` that are not read; the model's hidden states are known before token `known`.
   * `onLast(length)` records after the last batch.
   */
  #read(text: readonly number[], known: number, onLast: (length: number) => void): Promise<void> {
    const { draftModel } = this.parts;
    const sequence = this.#sequence as Sequence; // `begin` has set it
    const rest = text.slice(sequence.tokens.length);
    const { hiddenStates, cache } = draftModel.transformer;
    hiddenStates?.keepFrom(known, cache.firstPage(sequence.slot)); // earlier hidden states of the model stay
    this.#known = text.length;
    const onBatch = (start: number, length: number): void => {
      if (start + length === rest.length) onLast(length);
    };
    return draftModel.prefill(sequence, rest, onBatch, this.#ended.signal);
  }

  /** After a lost device, a full cache or the end of the context nothing is drafted any more; the answer continues. */
  #do(work: () => Promise<void>): Promise<void> {
    const done = work().catch((error: unknown) => {
      if (!(error instanceof ChunkwiseError)) throw error;
      this.#isReady = false;
    });
    this.#work = done.catch(() => undefined);
    return done;
  }
}

/** Tokens of a model: a file's name, and the tokens' texts in id order. */
interface Vocabulary {
  file: string;
  tokens: readonly string[];
}

/** Most tokens that only one of the two models has: files are padded. As in llama.cpp (common/speculative.cpp). */
const MOST_UNSHARED = 128;

/** Errors: `unsupported` if the tokens of `draft` mean other text to `model`. */
export function checkSameTokens(draft: Vocabulary, model: Vocabulary): void {
  const refuse = (reason: string): never => {
    throw new ChunkwiseError('unsupported', {
      file: draft.file,
      field: 'tokenizer.ggml.tokens',
      reason: `${reason}; a draft model must have the model's tokens`,
    });
  };
  if (Math.abs(draft.tokens.length - model.tokens.length) > MOST_UNSHARED)
    refuse(`has ${draft.tokens.length} tokens, but ${model.file} has ${model.tokens.length}`);
  const shared = Math.min(draft.tokens.length, model.tokens.length);
  for (let id = 0; id < shared; id++) {
    if (draft.tokens[id] !== model.tokens[id])
      refuse(
        `token ${id} is ${JSON.stringify(draft.tokens[id])}, but in ${model.file} it is ${JSON.stringify(model.tokens[id])}`,
      );
  }
}
