import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import { handled } from '../handled.ts';
import type { DrawnToken } from '../sampling/draw-request.ts';
import { greedy } from '../sampling/greedy-draw.ts';
import { commonPrefix } from '../sequence-cache.ts';
import type { Sequence } from '../sequence.ts';
import type { Session } from '../session.ts';
import { Hits } from './hits.ts';
import type { StepCosts } from './step-costs.ts';

/** How often a drafted token is the one that comes, until an answer has shown it. */
const ASSUMED_CHANCE = 0.7;

export interface ModelDraftsParts {
  draftModel: Session;
  /** In which it reads the text. */
  slot: number;
  /** Tokens that it and the model whose text that is both know. */
  vocabSize: number;
  /** Of that model. */
  costs: StepCosts;
}

/** Says how a text may go on, by what a draft model would answer, greedily. It reads the text beside, from `begin` on. */
export class ModelDrafts {
  readonly #text: number[];
  /** Tokens of it that were there at first. */
  readonly #began: number;
  readonly #hits = new Hits(ASSUMED_CHANCE);
  /** Tokens of the text that were read, when something was drafted last. */
  #known = 0;
  /** What was drafted last, as far as it has not been held against the text. */
  #expected: number[] = [];
  /** What the draft model has read of the text, and of what it drafted. */
  #sequence: Sequence | undefined;
  #isReady = false;
  readonly #ended = new AbortController();
  /** Settles when nothing is under way. */
  #work: Promise<void> = Promise.resolve();

  constructor(
    text: readonly number[],
    private readonly parts: ModelDraftsParts,
  ) {
    this.#text = [...text];
    this.#began = text.length;
  }

  /** The text so far is read, and there is room behind it. */
  get isReady(): boolean {
    return this.#isReady && this.#text.length < this.#contextLength;
  }

  /** How likely it is that a drafted token comes, if those before it did. */
  get chance(): number {
    return this.#hits.chance;
  }

  /** Begins to read the text. Whatever that fails with, nothing is drafted then: nobody waits to be told. */
  begin(): void {
    void handled(this.#do(() => this.#begin()));
  }

  async #begin(): Promise<void> {
    const { draftModel, slot } = this.parts;
    if (this.#text.length >= this.#contextLength || !this.#text.every((token) => this.#isKnown(token))) return;
    this.#sequence = draftModel.sequences.take(this.#text, { slot });
    await this.#read(this.#text, this.#text.length + 1, () => undefined); // the model has read all of it
    this.#isReady = true;
  }

  /** The text goes on with `token`, which is held against what was drafted. */
  push(token: number): void {
    this.#text.push(token);
    const expected = this.#expected.shift();
    if (!this.#isKnown(token)) this.#isReady = false;
    if (expected === undefined) return;
    this.#hits.push(expected === token);
    if (expected !== token) this.#expected = [];
  }

  /** Up to `most` tokens that are expected next; none where the model has not read the text, or cannot any more. */
  async next(most: number): Promise<number[]> {
    const count = Math.min(most, this.#contextLength - this.#text.length);
    this.#expected = [];
    if (!this.isReady || count <= 0) return [];
    await this.#do(async () => {
      const began = performance.now();
      const drawn = await this.#draft(count);
      this.parts.costs.drafted(count, performance.now() - began);
      const end = drawn.findIndex((token) => !this.#isKnown(token));
      this.#expected = end < 0 ? drawn : drawn.slice(0, end);
    });
    return this.#expected.slice();
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#work;
  }

  /** Waits until nothing is under way; what was read is there for the next text. */
  async close(): Promise<void> {
    this.#ended.abort();
    await this.settled();
    const { draftModel } = this.parts;
    if (!this.#sequence || draftModel.device.lost() !== undefined) return;
    // A draft head read its own drafts as it guessed, not as the model knows them.
    if (draftModel.transformer.kept) draftModel.sequences.goBack(this.#sequence, this.#known, this.#began);
    draftModel.sequences.giveBack(this.#sequence);
  }

  get #contextLength(): number {
    return this.parts.draftModel.plan.contextLength;
  }

  #isKnown(token: number): boolean {
    return token < this.parts.vocabSize;
  }

  /** Draws greedily behind the text. Each step is asked for before the one before is read. */
  async #draft(count: number): Promise<number[]> {
    const { draftModel } = this.parts;
    const sequence = this.#sequence as Sequence; // since it is ready
    const text = this.#text; // it grows when the draft is known
    // A draft head reads its own drafts anew, behind what the model knows by now.
    const right = draftModel.transformer.kept ? this.#known : commonPrefix(sequence.tokens, text);
    draftModel.sequences.goBack(sequence, Math.min(right, text.length - 1), this.#began);
    const asked: Promise<DrawnToken>[] = [];
    try {
      await this.#read(text, text.length, (length) =>
        asked.push(handled(draftModel.sample(length, greedy(sequence, text.length)))),
      );
      while (asked.length < count)
        asked.push(handled(draftModel.steps.ask(greedy(sequence, text.length + asked.length))));
      const drawn = (await Promise.all(asked)).map(({ token }) => token);
      sequence.tokens.push(...drawn.slice(0, -1)); // as they were read to draw the next one
      return drawn;
    } finally {
      draftModel.steps.leave(sequence);
    }
  }

  /** Reads what of `text` is not read, of which the model knows what is behind fewer than `known` tokens; `onLast` records behind the last batch of so many tokens. */
  #read(text: readonly number[], known: number, onLast: (length: number) => void): Promise<void> {
    const { draftModel } = this.parts;
    const sequence = this.#sequence as Sequence; // since it was begun
    const rest = text.slice(sequence.tokens.length);
    const { kept, cache } = draftModel.transformer;
    kept?.keepFrom(known, cache.firstPage(sequence.slot)); // what the model knows before that stays
    this.#known = text.length;
    const onBatch = (start: number, length: number): void => {
      if (start + length === rest.length) onLast(length);
    };
    return draftModel.prefill(sequence, rest, onBatch, this.#ended.signal);
  }

  /** Where the draft model's device is lost, its cache is full or the text ends, nothing is drafted any more: the answer goes on. */
  #do(work: () => Promise<void>): Promise<void> {
    const done = work().catch((error: unknown) => {
      if (!(error instanceof ChunkwiseError)) throw error;
      this.#isReady = false;
    });
    this.#work = done.catch(() => undefined);
    return done;
  }
}
