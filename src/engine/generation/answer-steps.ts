import { DENSE } from '../../cache/policy.ts';
import { type RampRow, rowsBehind } from '../../chunking/ramps.ts';
import type { SamplingOptions } from '../../config/sampling.ts';
import { throwIfAborted } from '../../errors/throw-if-aborted.ts';
import { FEW_TOKENS } from '../../config/few-tokens.ts';
import type { NextTokens, TokenGrammar } from '../../grammar/token-grammar.ts';
import type { AdaptedText } from '../../session/adapted-text.ts';
import type { DrawRequest, DrawnToken } from '../../session/sampling/draw-request.ts';
import { handled } from '../../session/handled.ts';
import type { Sequence } from '../../session/sequence.ts';
import type { Draft } from '../../session/batches.ts';
import type { Session } from '../../session/session.ts';
import { ModelDrafts } from '../../session/speculation/model-drafts.ts';
import { Speculation } from '../../session/speculation/speculation.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { type AllowedTokens, allowedTokens, tokensOf } from './forced-tokens.ts';

export interface AnswerStepsOptions {
  prompt: readonly number[];
  /** Most tokens to draw. */
  limit: number;
  sampling: SamplingOptions;
  wantsEntropy: boolean;
  wantsLogits: boolean;
  /** Verifies drafts of what comes next, where that pays. */
  speculates: boolean;
  /** How the GPU chooses the levels of tokens that no plan says anything of. */
  follow: AdaptedText['follow'];
  /** What the answer must keep to, at its beginning. */
  grammar: TokenGrammar | undefined;
  tokenizer: Tokenizer;
  /** After each batch of the prompt and each token: the pages of the sequence may lie otherwise. */
  onStep: () => void;
  signal: AbortSignal | undefined;
}

/** Drafts that were likely by the grammar and wrong, one after the other, after which there are no more. */
const MOST_WRONG_DRAFTS = 3;

/** A token of an answer. */
export interface AnswerToken extends DrawnToken {
  /** Tokens of the answer that its step gave. */
  ofStep: number;
  /** In the text. */
  position: number;
}

/**
 * The steps of one answer. The steps after each token are asked for before that token is read, one or, where results take
 * long to come, some; when it turns out to be the last, their results are thrown away. With a grammar one is computed as
 * early, and drawn once the token is read, since that says which may follow. Where a draft of what comes next is likely,
 * none is asked for ahead: the step after the token verifies it, and gives as many tokens as were right, and one more.
 */
export class AnswerSteps {
  /** Tokens read. */
  #count = 0;
  /** Tokens read, drawn or asked for; of a draft what was right is known once it is drawn. */
  #asked = 0;
  /** What the steps that were asked for give, in order. */
  readonly #ahead: Promise<DrawnToken[]>[] = [];
  /** Tokens that were drawn and are not read. */
  readonly #drawn: (DrawnToken & { ofStep: number })[] = [];
  /** Of those, and those read. */
  readonly #answer: number[] = [];
  /** What the last two of them take of the adapters, where the GPU chose. */
  #lastRows: RampRow[] = [];
  #speculation: Speculation | undefined;
  /** The step that was asked for last verifies a draft: how many tokens it gives is not known. */
  #verifies = false;
  /** What the grammar lets follow the token drawn last. */
  #next: Promise<AllowedTokens | undefined> | undefined;
  /** Tokens of the answer that the grammar left no choice of, taken in one step with others. */
  #forcedCount = 0;
  /** Tokens that were likely by the grammar, of the draft that is verified; and such drafts that were wrong, in a row. */
  #likelyDraft = 0;
  #wrongDrafts = 0;

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
    const isDrafted = this.#maySpeculate() && this.#mayDraft();
    const first = this.#allowed(grammar?.first);
    this.#next = grammar && Promise.resolve(first);
    await session.prefill(
      sequence,
      prompt.slice(cachedTokens),
      (start, length) => {
        onStep();
        if (cachedTokens + start + length < prompt.length) return;
        if (follow) session.draws.levels.begin(sequence.slot, follow.start);
        this.#ask(session.sample(length, this.#draw(prompt.length, { allowed: first?.mask })));
      },
      signal,
    );
    if (!this.#maySpeculate()) return;
    this.#speculation = speculationOn(session, prompt, isDrafted ? sequence.slot : undefined);
  }

  /** The next token, with what it takes of the adapters; undefined behind the limit. Errors: those of `prefill`. */
  async next(): Promise<AnswerToken | undefined> {
    const { sequence } = this;
    const { prompt, onStep, signal } = this.options;
    if (this.#drawn.length === 0) await this.#readStep();
    const drawn = this.#drawn.shift();
    if (!drawn) return undefined;
    throwIfAborted(signal);
    onStep();
    const position = prompt.length + this.#count;
    const { row = rowOf(sequence, position) } = drawn;
    if (row) sequence.rows[position] = row;
    this.#count++;
    return { ...drawn, position, ...(row && { row }) };
  }

  /** Nothing may follow the token read last. */
  async endsGrammar(): Promise<boolean> {
    return this.options.grammar !== undefined && this.#drawn.length === 0 && (await this.#next) === undefined;
  }

  /** Tokens of the answer that the grammar left no choice of, taken in one step with others. */
  get forcedTokens(): number {
    return this.#forcedCount;
  }

  /** Something follows `token`, which was read last. */
  goOn(token: number): void {
    // It was verified, or its step is asked for: its keys and values are in the cache once the next token is read.
    if (this.#drawn.length > 0 || this.#ahead.length > 0) this.sequence.tokens.push(token);
  }

  /** No step is asked for any more. */
  leave(): void {
    this.session.steps.leave(this.sequence);
  }

  /** Leaves, and waits until nothing of the answer is under way. */
  async close(): Promise<void> {
    this.leave();
    await Promise.allSettled([...this.#ahead, this.#next]);
    await this.#speculation?.close();
    this.session.forgetStates(this.sequence);
  }

  /** Reads the tokens of the step that was asked for first, if any, having asked for the next ones. */
  async #readStep(): Promise<void> {
    const { sequence } = this;
    const { grammar } = this.options;
    const current = this.#ahead.shift();
    if (!current) return;
    // What `current` waits for as well: the first of them it gives.
    const isExpected = grammar !== undefined && this.#mayVerify() && (await this.#isExpected());
    this.#next =
      grammar &&
      handled(
        current.then((drawn) =>
          this.#follow(
            grammar,
            drawn.map(({ token }) => token),
          ),
        ),
      );
    const drafts = this.#isAlone && (isExpected || this.#speculation?.isLikely === true);
    if (!this.#verifies && !drafts) this.#askAhead();
    this.#verifies = false;
    const drawn = await current.catch((error: unknown) => {
      if (this.#count > 0) sequence.tokens.pop(); // its step was this one
      throw error;
    });
    this.#drawn.push(...drawn.map((each) => ({ ...each, ofStep: drawn.length })));
    this.#lastRows = [...this.#lastRows, ...drawn.flatMap(({ row }) => row ?? [])].slice(-2);
    for (const { token } of drawn) {
      this.#answer.push(token);
      this.#speculation?.push(token);
    }
    this.#asked += drawn.length - 1;
    if (this.#likelyDraft > 0) this.#wrongDrafts = drawn.length > this.#likelyDraft / 2 ? 0 : this.#wrongDrafts + 1;
    this.#likelyDraft = 0;
    if (this.#ahead.length === 0) await this.#askBehind();
  }

  /** What may follow the last of what a step gave. */
  async #follow(grammar: TokenGrammar, drawn: readonly number[]): Promise<AllowedTokens | undefined> {
    const { eosIds } = this.options.tokenizer;
    return drawn.some((token) => eosIds.has(token)) ? undefined : this.#allowed(await grammar.follow(drawn));
  }

  #allowed(next: NextTokens | undefined): AllowedTokens | undefined {
    return next && allowedTokens(this.options.tokenizer, next);
  }

  /**
   * Whether the grammar says more than the next token. Where that could not be told, the step that waits for it says why.
   */
  async #isExpected(): Promise<boolean> {
    const next = await this.#next?.catch(() => undefined);
    return next !== undefined && (next.forced.length > 1 || this.#likely(next).length > 1);
  }

  /** Tokens that the grammar makes likely; none once several such drafts were wrong. */
  #likely({ likelyText }: AllowedTokens): number[] {
    return this.#wrongDrafts < MOST_WRONG_DRAFTS ? tokensOf(this.options.tokenizer, likelyText) : [];
  }

  /** Nothing is asked for: a draft of what comes behind the last token drawn, or the next step. */
  async #askBehind(): Promise<void> {
    const { session, sequence } = this;
    const { limit, prompt } = this.options;
    const first = prompt.length + this.#asked - 1; // drawn, and not computed
    const most = Math.min(limit - this.#asked, session.trials.tokensAtOnce(sequence, first)) - 1;
    const verified = most > 0 && this.#isAlone ? await this.#drafted(most) : { tokens: [] };
    this.#verifies = verified.tokens.length > 0;
    if (this.#verifies) this.#ask(this.#verify(verified));
    else this.#askAhead();
  }

  /** At most so many tokens that must come next, or else are likely; with what may come after the token drawn last and each of them. */
  async #drafted(most: number): Promise<Pick<Draft, 'tokens' | 'allowed'>> {
    const { grammar } = this.options;
    const next = await this.#next;
    if (grammar && !next) return { tokens: [] };
    const few = Math.min(most, FEW_TOKENS - 1);
    const mayVerify = next !== undefined && this.#mayVerify();
    const forced = mayVerify ? next.forced.slice(0, few) : [];
    const likely = mayVerify ? this.#likely(next).slice(0, few) : [];
    const isLikely = likely.length > forced.length;
    const expected = isLikely ? likely : forced;
    const draft = expected.length > 0 ? expected : ((await this.#speculation?.draft(most)) ?? []);
    if (!grammar || !next || draft.length === 0) return { tokens: draft };
    const after = await grammar.foresee(draft);
    const tokens = draft.slice(0, after.length);
    this.#forcedCount += Math.min(forced.length, tokens.length);
    this.#likelyDraft = isLikely ? tokens.length : 0;
    return { tokens, allowed: [next.mask, ...after.map((each) => allowedTokens(this.options.tokenizer, each).mask)] };
  }

  /** Else steps are shared, and those of one token are. */
  get #isAlone(): boolean {
    return this.session.steps.isAlone(this.sequence);
  }

  #verify(draft: Pick<Draft, 'tokens' | 'allowed'>): Promise<DrawnToken[]> {
    const { prompt } = this.options;
    const draw = this.#draw(prompt.length + this.#asked, {});
    const [before, last] = this.#lastRows.length > 1 ? this.#lastRows : [undefined, ...this.#lastRows];
    const rows = draw.level && last && rowsBehind(before, last, draw.level.rampWidth, draft.tokens.length);
    return this.session.verify(draw, { ...draft, rows, text: { prompt, answer: this.#answer } });
  }

  #ask(step: Promise<DrawnToken | DrawnToken[]>): void {
    this.#ahead.push(handled(step.then((drawn) => [drawn].flat())));
    this.#asked++;
  }

  /**
   * Drafts are verified where nobody wants logits, and the GPU chooses all rows or none; and where no true errors are told, which
   * would be those of tokens that are thrown away.
   */
  #mayVerify(): boolean {
    const { sequence } = this;
    const { prompt, wantsLogits, follow } = this.options;
    const isPlanned = follow !== undefined && sequence.rows[prompt.length] !== undefined;
    return !wantsLogits && !isPlanned && !sequence.shadows;
  }

  #maySpeculate(): boolean {
    return this.options.speculates && this.#mayVerify();
  }

  /** A model drafts; of one that is the model's own head, what it reads is kept from now on, unless it drafts another stream. */
  #mayDraft(): boolean {
    const { session, sequence } = this;
    const { draftModel, device } = session;
    return draftModel !== undefined && (draftModel.device !== device || session.keepStates(sequence));
  }

  /**
   * A grammar's next step needs the token before, and the pages of a text that shrinks change by what is read: these go
   * one step ahead.
   */
  #askAhead(): void {
    const { session, sequence } = this;
    const { prompt, limit, grammar } = this.options;
    const steps = grammar || sequence.policy.key !== DENSE.key ? 1 : session.lookAhead.steps;
    const allowedLater = this.#next && handled(this.#next.then((next) => next?.mask));
    while (this.#asked < limit && this.#ahead.length < steps) {
      this.#ask(session.steps.ask(this.#draw(prompt.length + this.#asked, { allowedLater })));
    }
  }

  #draw(position: number, allowed: Pick<DrawRequest, 'allowed' | 'allowedLater'>): DrawRequest {
    const { sequence } = this;
    const { sampling, wantsEntropy, wantsLogits, follow } = this.options;
    const level = sequence.rows[position] ? undefined : follow?.options;
    return { sequence, sampling, position, ...allowed, wantsEntropy, wantsLogits, level };
  }
}

/** `slot`: in which a draft model reads the text, if it does. */
function speculationOn(
  { stepCosts: costs, plan, draftModel }: Session,
  prompt: readonly number[],
  slot: number | undefined,
): Speculation {
  if (!draftModel || slot === undefined) return new Speculation(costs, prompt);
  const vocabSize = Math.min(plan.config.vocabSize, draftModel.plan.config.vocabSize);
  const assumedCost = draftModel.plan.tensorBytes / plan.tensorBytes; // by what each reads
  return new Speculation(costs, prompt, new ModelDrafts(prompt, { draftModel, slot, vocabSize, costs }), assumedCost);
}

/** What a token is planned to take of the adapters; undefined where the GPU chooses. */
function rowOf({ rows, decodeRow }: Sequence, position: number): RampRow | undefined {
  return rows[position] ?? (decodeRow === 'stream' ? undefined : decodeRow);
}
