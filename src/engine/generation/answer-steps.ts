import { DENSE } from '../../cache/policy.ts';
import type { RampRow } from '../../chunking/ramps.ts';
import type { SamplingOptions } from '../../config/sampling.ts';
import { throwIfAborted } from '../../errors/throw-if-aborted.ts';
import type { TokenGrammar } from '../../grammar/grammars.ts';
import type { AdaptedText } from '../../session/adapted-text.ts';
import type { DrawRequest, DrawnToken } from '../../session/sampling/draw-request.ts';
import { handled } from '../../session/handled.ts';
import type { Sequence } from '../../session/sequence.ts';
import type { Session } from '../../session/session.ts';

export interface AnswerStepsOptions {
  prompt: readonly number[];
  /** Most tokens to draw. */
  limit: number;
  sampling: SamplingOptions;
  wantsEntropy: boolean;
  wantsLogits: boolean;
  /** How the GPU chooses the levels of tokens that no plan says anything of. */
  follow: AdaptedText['follow'];
  /** What the answer must keep to, at its beginning. */
  grammar: TokenGrammar | undefined;
  /** Tokens behind which nothing comes. */
  eosIds: ReadonlySet<number>;
  /** After each batch of the prompt and each token: the pages of the sequence may lie otherwise. */
  onStep: () => void;
  signal: AbortSignal | undefined;
}

/** A token of an answer. */
export interface AnswerToken extends DrawnToken {
  /** In the text. */
  position: number;
}

/**
 * The steps of one answer. The steps after each token are asked for before that token is read, one or, where results take
 * long to come, some; when it turns out to be the last, their results are thrown away. With a grammar one is computed as
 * early, and drawn once the token is read, since that says which may follow.
 */
export class AnswerSteps {
  /** Tokens read. */
  #count = 0;
  /** The steps that were asked for, in order. */
  readonly #ahead: Promise<DrawnToken>[] = [];
  /** What the grammar lets follow the token read last. */
  #allowedNext: DrawRequest['allowedLater'];

  constructor(
    private readonly session: Session,
    private readonly sequence: Sequence,
    private readonly options: AnswerStepsOptions,
  ) {}

  /**
   * Computes what of the prompt the cache does not hold, and asks for the first token. Errors: `aborted`,
   * `context_overflow`, `device_lost`, `scheduler_lost`.
   */
  async prefill(): Promise<void> {
    const { session, sequence } = this;
    const { prompt, sampling, grammar, follow, onStep, signal } = this.options;
    const cachedTokens = sequence.tokens.length;
    session.draws.sampler.begin(sequence.slot, sampling, prompt);
    const allowed = await grammar?.allowed();
    await session.prefill(
      sequence,
      prompt.slice(cachedTokens),
      (start, length) => {
        onStep();
        if (cachedTokens + start + length < prompt.length) return;
        if (follow) session.draws.levels.begin(sequence.slot, follow.start);
        this.#ahead.push(handled(session.sample(length, this.#draw(prompt.length, { allowed }))));
      },
      signal,
    );
  }

  /** The next token, with what it takes of the adapters; undefined behind the limit. Errors: those of `prefill`. */
  async next(): Promise<AnswerToken | undefined> {
    const { sequence } = this;
    const { prompt, grammar, eosIds, onStep, signal } = this.options;
    const current = this.#ahead.shift();
    if (!current) return undefined;
    const position = prompt.length + this.#count;
    this.#allowedNext = grammar && handled(current.then(({ token }) => (eosIds.has(token) ? undefined : grammar.follow(token))));
    this.#askAhead();
    const drawn = await current.catch((error: unknown) => {
      if (this.#count > 0) sequence.tokens.pop(); // its step was this one
      throw error;
    });
    throwIfAborted(signal);
    onStep();
    const { row = rowOf(sequence, position) } = drawn;
    if (row) sequence.rows[position] = row;
    this.#count++;
    return { ...drawn, position, ...(row && { row }) };
  }

  /** Nothing may follow the token read last. */
  async endsGrammar(): Promise<boolean> {
    return this.options.grammar !== undefined && (await this.#allowedNext) === undefined;
  }

  /** Something follows `token`, which was read last. */
  goOn(token: number): void {
    // Its step is asked for: its keys and values are in the cache once the next token is read.
    if (this.#ahead.length > 0) this.sequence.tokens.push(token);
  }

  /** No step is asked for any more. */
  leave(): void {
    this.session.steps.leave(this.sequence);
  }

  /** Leaves, and waits until nothing of the answer is under way. */
  async close(): Promise<void> {
    this.leave();
    await Promise.allSettled([...this.#ahead, this.#allowedNext]);
  }

  /**
   * A grammar's next step needs the token before, and the pages of a text that shrinks change by what is read: these go
   * one step ahead.
   */
  #askAhead(): void {
    const { session, sequence } = this;
    const { prompt, limit, grammar } = this.options;
    const steps = grammar || sequence.policy.key !== DENSE.key ? 1 : session.lookAhead.steps;
    const asked = this.#count + 1 + this.#ahead.length;
    for (let count = asked; count < limit && this.#ahead.length < steps; count++) {
      const draw = this.#draw(prompt.length + count, { allowedLater: this.#allowedNext });
      this.#ahead.push(handled(session.steps.ask(draw)));
    }
  }

  #draw(position: number, allowed: Pick<DrawRequest, 'allowed' | 'allowedLater'>): DrawRequest {
    const { sequence } = this;
    const { sampling, wantsEntropy, wantsLogits, follow } = this.options;
    const level = sequence.rows[position] ? undefined : follow?.options;
    return { sequence, sampling, position, ...allowed, wantsEntropy, wantsLogits, level };
  }
}

/** What a token is planned to take of the adapters; undefined where the GPU chooses. */
function rowOf({ rows, decodeRow }: Sequence, position: number): RampRow | undefined {
  return rows[position] ?? (decodeRow === 'stream' ? undefined : decodeRow);
}
