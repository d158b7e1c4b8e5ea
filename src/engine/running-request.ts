import { kvReport, KvWatch, pagesFor } from '../cache/kv-cache.ts';
import { policyOf, type CachePolicy, DENSE } from '../cache/policy.ts';
import { handled } from '../errors/chunkwise-error.ts';
import type { TokenGrammar } from '../grammar/token-grammar.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { AdaptedText } from '../session/adapter-mix.ts';
import type { SampledToken, SampleRequest, StepCost } from '../session/sampling/sampler.ts';
import type { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import { Detokenizer, StopStrings, type Tokenizer } from '../tokenizer/tokenizer.ts';
import { quantile } from '../util/numbers.ts';
import type { Adaptation } from './adapters.ts';
import type { AnswerToken, EndEvent, Feature } from './features/feature.ts';
import { GrammarFeature } from './features/grammar.ts';
import { LogprobsFeature } from './features/logprobs.ts';
import { RankLevelsFeature } from './features/rank-levels.ts';
import { SpeculationFeature } from './features/speculation.ts';
import type { FinishReason, GenerateOptions, GenerationReport } from './types.ts';

export interface PromptTokens {
  tokens: readonly number[];
  /** Tokens at the start that hold the system prompt; eviction keeps them when the text exceeds the context. */
  kept: number;
}

/** Pages of the shortest context that a text may exceed: eviction keeps the first and the latest ones. */
const LEAST_PAGES = 4;

/** Whether a text may exceed the context. */
export const mayShift = (contextLength: number, policy: CachePolicy): boolean =>
  policy.drops !== undefined && contextLength >= LEAST_PAGES * PAGE_TOKENS;

/** Most tokens of an answer: the rest of the context, or, if a text may exceed it, `maxTokens`. */
export function answerLimit(contextLength: number, promptTokens: number, shifts: boolean, maxTokens?: number): number {
  return shifts ? (maxTokens ?? contextLength) : Math.min(maxTokens ?? Infinity, contextLength - promptTokens);
}

/** Inputs that a request needs to run. */
export interface GenerateRequest {
  prompt: PromptTokens;
  options: GenerateOptions;
  adaptation: Adaptation;
  /** Its sequence slot. */
  slot: number;
  grammar?: TokenGrammar | undefined;
  /** Turns the answer's tokens into text. */
  tokenizer: Tokenizer;
}

/** A request in the loop: its sequence, its steps in flight, and its features. */
export class RunningRequest {
  readonly sequence: Sequence;
  readonly prompt: readonly number[];
  readonly cachedTokens: number;
  /** Most tokens to sample. */
  readonly limit: number;
  readonly text: TextStream;
  readonly meter = new AnswerMeter();
  readonly features: Feature[] = [];
  /** Results of the steps in flight, oldest first. */
  readonly steps: Promise<SampledToken[]>[] = [];
  /** Tokens that were read. */
  readonly answer: number[] = [];
  /** Tokens that were read or are in flight; a step that verifies a draft counts as one until it is read. */
  submitted = 0;
  published = 0;
  /** The last step in flight verifies a draft: the number of tokens that it gives is unknown. */
  isVerifying = false;
  /** Whether drafts may be verified: not if a feature forbids it, or if the cache's true error is measured. */
  mayVerify = false;
  readonly #prepared: Promise<void>;
  #adapted: AdaptedText | undefined;

  /** Takes the cached sequence with the longest common prefix. Errors: `unsupported` for the cache policy. */
  constructor(
    private readonly session: Session,
    readonly request: GenerateRequest,
  ) {
    const { contextLength } = session.plan;
    const { prompt, adaptation, slot, tokenizer } = request;
    const { maxTokens, isFurther, recomputePrompt: isAnew, kvShadow = false, stop, ...options } = request.options;
    const { tokens } = prompt;
    const policy = policyOf(options);
    session.pageChanges.check(policy);
    this.prompt = tokens;
    this.limit = answerLimit(contextLength, tokens.length, mayShift(contextLength, policy), maxTokens);
    const spans = adaptation.spans(tokens);
    this.sequence = session.sequences.take(tokens, { spans, slot, policy, isFurther, isAnew });
    this.sequence.keep(prompt.kept, contextLength);
    this.sequence.shadows = kvShadow;
    this.cachedTokens = this.sequence.tokens.length;
    this.text = new TextStream(tokenizer, stop);
    this.#prepared = session.prepare(this.sequence, isAnew ? contextLength : tokens.length + this.limit);
  }

  /** Has the prompt's ranks planned, and sets up the features. Errors: those of `Adaptation.begin`. */
  async begin(): Promise<void> {
    const { session, sequence, prompt, features } = this;
    const { options, adaptation, grammar, tokenizer } = this.request;
    if (options.recomputePrompt) await this.#prepared;
    const adapted = await adaptation.begin(prompt, this.cachedTokens);
    this.#adapted = adapted;
    sequence.attach(adapted);
    adapted.later.forEach((row, i) => (sequence.rows[prompt.length + i] = row));
    if (options.onKv) {
      const watch = new KvWatch(options.onKv);
      features.push({
        afterBatch: () => watch.look(sequence.pages, session.pageChanges.isRefused(sequence.policy)),
      });
    }
    if (adapted.ladder.length > 0 || adapted.follow) {
      const textOf = (token: number): string => tokenizer.decode([token]);
      const report = { onPlan: options.onPlan, textOf };
      features.push(new RankLevelsFeature(session, sequence, adapted, prompt.length, report));
    }
    if (options.topLogprobs !== undefined) features.push(new LogprobsFeature(tokenizer, options.topLogprobs));
    this.mayVerify = !sequence.shadows && features.every(({ forbidsDrafts }) => !forbidsDrafts);
    if (grammar) {
      features.push(new GrammarFeature(grammar, tokenizer));
      await session.samples.sampler.prepareMasks(options.sampling);
    }
    if (options.speculate && this.mayVerify) features.push(new SpeculationFeature(session, sequence, prompt));
  }

  /** Steps that may be in flight beyond the one that is read next. Pages of a text that shrinks change by what is read. */
  get maxStepsAhead(): number {
    const isOneByOne =
      this.sequence.policy.key !== DENSE.key || this.features.some(({ stepsOneByOne }) => stepsOneByOne);
    return isOneByOne ? 1 : this.session.stepsAhead.steps;
  }

  /** The sample of the next token that is not in flight. */
  nextSample(): SampleRequest {
    const { sampling, wantsEntropy = false } = this.request.options;
    const position = this.prompt.length + this.submitted;
    const sample: SampleRequest = { sequence: this.sequence, sampling, position, wantsEntropy };
    for (const feature of this.features) feature.beforeSample?.(sample);
    return sample;
  }

  /** Adds a step in flight. */
  submit(step: Promise<SampledToken | SampledToken[]>): void {
    this.steps.push(handled(step.then((sampled) => [sampled].flat())));
    this.submitted++;
  }

  /** Gives the next token its position, and its row: as the GPU chose, or as planned. */
  place(sampled: SampledToken): AnswerToken {
    const { rows, decodeRow } = this.sequence;
    const position = this.prompt.length + this.published++;
    const { row = rows[position] ?? (decodeRow === 'sequence' ? undefined : decodeRow) } = sampled;
    if (row) rows[position] = row;
    return { ...sampled, position, ...(row && { row }) };
  }

  /** The last event; waits for what is measured on the GPU. Errors: `device_lost`. */
  async end(finishReason: FinishReason): Promise<EndEvent> {
    const { session, sequence, meter } = this;
    // Pages after these belong to steps whose results are thrown away.
    const pages = sequence.pages.slice(0, pagesFor(sequence.heldTokens));
    const { dropped, memoryOverrode, peakKvBytes, probed } = sequence;
    const formsRefused = session.pageChanges.isRefused(sequence.policy);
    const kv = {
      ...kvReport({ pages, dropped, memoryOverrode, peakKvBytes, probed }, formsRefused),
      ...(sequence.shadows && { shadowErrors: await session.shadow.errors(sequence) }),
    };
    const { invokedAt } = this.#adapted ?? {};
    const event: EndEvent = {
      type: 'end',
      text: this.text.flush(),
      finishReason,
      usage: {
        promptTokens: this.prompt.length,
        cachedTokens: this.cachedTokens,
        completionTokens: meter.tokens,
        forcedTokens: 0,
      },
      ignored: [],
      report: { ...meter.report(), kv, ...(invokedAt && { invokedAt }) },
    };
    for (const feature of this.features) await feature.onEnd?.(event);
    for (const feature of this.features) feature.afterBatch?.();
    return event;
  }

  /** Waits for the steps in flight, and returns the sequence to the prefix cache. */
  async finish(): Promise<void> {
    const { session, sequence } = this;
    await Promise.allSettled(this.steps);
    for (const feature of this.features) await feature.onFinish?.();
    this.#adapted?.close();
    sequence.probing = undefined;
    session.sequences.giveBack(sequence);
  }
}

/** Turns tokens into text, and cuts it before the first stop string. */
export class TextStream {
  readonly #detokenizer: Detokenizer;
  readonly #stops: StopStrings;
  stopped = false;

  constructor(tokenizer: Tokenizer, stop: readonly string[]) {
    this.#detokenizer = new Detokenizer(tokenizer);
    this.#stops = new StopStrings(stop);
  }

  push(token: number): string {
    return this.#through(this.#detokenizer.push(token));
  }

  flush(): string {
    if (this.stopped) return '';
    const last = this.#through(this.#detokenizer.flush());
    return this.stopped ? last : last + this.#stops.flush();
  }

  #through(piece: string): string {
    const { text, stopped } = this.#stops.push(piece);
    this.stopped ||= stopped;
    return text;
  }
}

/** Measures an answer as its tokens are published. Times in milliseconds. */
export class AnswerMeter {
  #last = performance.now();
  /** Tokens of each step, and the time they took together; the first step is the prefill. */
  readonly #steps: { tokens: number; ms: number }[] = [];
  /** Tokens of the last step that are not published yet, and the time of each. */
  #left = 0;
  #share = 0;
  #dispatches = 0;
  #dispatchesPerLayer = 0;
  tokens = 0;

  /**
   * Takes the next token, one of `ofStep` that its step gave. Returns the milliseconds since the token before, or since the
   * request began; tokens of one step share its time.
   */
  push({ dispatchesPerToken, dispatchesPerLayer }: StepCost, ofStep: number): number {
    const now = performance.now();
    const interval = now - this.#last;
    this.#last = now;
    if (this.#left === 0) {
      this.#steps.push({ tokens: 0, ms: 0 });
      this.#left = ofStep;
      this.#share = interval / ofStep;
    }
    const step = this.#steps.at(-1)!;
    step.tokens++;
    step.ms += interval;
    this.#left--;
    if (this.tokens++ > 0) this.#dispatches += dispatchesPerToken;
    this.#dispatchesPerLayer = dispatchesPerLayer;
    return this.#share;
  }

  report(): Omit<GenerationReport, 'kv' | 'meanRank' | 'invokedAt'> {
    const [first, ...later] = this.#steps;
    const intervals = later.flatMap(({ tokens, ms }) => new Array<number>(tokens).fill(ms / tokens));
    const total = later.reduce((sum, { ms }) => sum + ms, 0);
    const { length } = intervals;
    return {
      ttftMs: first?.ms ?? 0,
      msPerToken: { median: quantile(intervals, 0.5), p95: quantile(intervals, 0.95) },
      tokensPerSecond: total > 0 ? (length * 1000) / total : 0,
      tokensPerStep: length > 0 ? length / later.length : 0,
      dispatchesPerToken: length > 0 ? this.#dispatches / length : 0,
      dispatchesPerLayer: this.#dispatchesPerLayer,
    };
  }
}
