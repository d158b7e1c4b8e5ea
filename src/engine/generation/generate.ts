import { pagesFor } from '../../cache/kv-cache.ts';
import { KvWatch } from '../../cache/kv-map.ts';
import { policyOf } from '../../cache/kv-options.ts';
import { kvReport } from '../../cache/kv-report.ts';
import type { CachePolicy } from '../../cache/policy.ts';
import { throwIfAborted } from '../../errors/throw-if-aborted.ts';
import type { TokenGrammar } from '../../grammar/token-grammar.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import type { AdaptedText } from '../../session/adapted-text.ts';
import type { Sequence } from '../../session/sequence.ts';
import type { Session } from '../../session/session.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { Adaptation } from '../adaptation.ts';
import { AnswerMeter } from './answer-meter.ts';
import { AnswerSteps } from './answer-steps.ts';
import { DecodedChunks } from './decoded-chunks.ts';
import { TextStream } from './text-stream.ts';
import { tokenLogprobs } from './token-logprobs.ts';
import type { FinishReason, GenerateEvent, GenerateOptions, GenerationReport } from '../types.ts';

/** What is asked, as tokens. */
export interface PromptTokens {
  tokens: readonly number[];
  /** Of them at the beginning, what the system says: it is not given up where the text goes on past the context. */
  kept: number;
}

/** Pages of the shortest context that a text may go on past: the first and the latest ones are not given up. */
const LEAST_PAGES = 4;

/** Whether a text may go on past the context. */
export const mayShift = (contextLength: number, policy: CachePolicy): boolean =>
  policy.drops !== undefined && contextLength >= LEAST_PAGES * PAGE_TOKENS;

/** Tokens that an answer may have at most: what the context still holds, or, where a text may go on past it, what is asked. */
export function answerLimit(contextLength: number, promptTokens: number, shifts: boolean, maxTokens?: number): number {
  return shifts ? (maxTokens ?? contextLength) : Math.min(maxTokens ?? Infinity, contextLength - promptTokens);
}

/** What a request is answered with. */
export interface Means {
  adaptation: Adaptation;
  /** Of the stream. */
  slot: number;
  /** What the answer must keep to, at its beginning. */
  grammar?: TokenGrammar | undefined;
}

/**
 * Answers `prompt` in a stream slot: prefills what the cache does not hold, then decodes.
 * Errors: `context_overflow`, `aborted`, `device_lost`, `scheduler_lost`.
 */
export async function* generate(
  session: Session,
  tokenizer: Tokenizer,
  prompt: PromptTokens,
  options: GenerateOptions,
  means: Means,
): AsyncGenerator<GenerateEvent, void> {
  const meter = new AnswerMeter();
  const text = new TextStream(tokenizer, options.stop);
  const { sequence, limit, prepared } = takeSequence(session, prompt, options, means);
  const cachedTokens = sequence.tokens.length;
  const kvWatch = options.onKv && new KvWatch(options.onKv);
  const onStep = (): void => kvWatch?.look(sequence.pages, session.trials.isRefused(sequence.policy));
  let adapted: AdaptedText | undefined;
  let chunks: DecodedChunks | undefined;
  let steps: AnswerSteps | undefined;
  let finishReason: FinishReason;
  let measured: Pick<GenerationReport, 'kv' | 'meanRank' | 'invokedAt'>;
  try {
    if (options.recomputePrompt) await prepared;
    adapted = await means.adaptation.begin(prompt.tokens, cachedTokens);
    attach(sequence, adapted, prompt);
    if (adapted.ladder.length > 0)
      chunks = new DecodedChunks(adapted, options.onPlan, (token) => tokenizer.decode([token]));
    session.ranks.reset(sequence);
    const { sampling, wantsEntropy = false, topLogprobs, speculate = false, signal } = options;
    steps = new AnswerSteps(session, sequence, {
      ...{
        prompt: prompt.tokens,
        limit,
        sampling,
        follow: adapted.follow,
        grammar: means.grammar,
        tokenizer,
      },
      ...{
        wantsEntropy: wantsEntropy || chunks !== undefined,
        wantsLogits: topLogprobs !== undefined,
        speculates: speculate,
        onStep,
        signal,
      },
    });
    await steps.prefill();
    finishReason = yield* tokenEvents(steps, tokenizer, options, { sequence, text, chunks, meter });
    steps.leave();
    const { invokedAt } = adapted;
    measured = { ...(await measure(session, sequence, chunks !== undefined)), ...(invokedAt && { invokedAt }) };
    onStep();
  } finally {
    await steps?.close();
    chunks?.finish();
    adapted?.close();
    session.trials.drop(sequence);
    session.sequences.giveBack(sequence);
  }
  yield {
    type: 'end',
    text: text.flush(),
    finishReason,
    usage: {
      ...{ promptTokens: prompt.tokens.length, cachedTokens, completionTokens: meter.tokens },
      forcedTokens: steps.forcedTokens,
    },
    ignored: means.grammar?.ignored ?? [],
    report: { ...meter.report(), ...measured },
  };
}

/** The cached sequence that `prompt` goes on from, in its stream slot, the most tokens of the answer, and when what it needs is compiled. */
function takeSequence(
  session: Session,
  { tokens, kept }: PromptTokens,
  { isFurther, recomputePrompt: isAnew, maxTokens, kvShadow = false, ...options }: GenerateOptions,
  { adaptation, slot }: Means,
): { sequence: Sequence; limit: number; prepared: Promise<void> } {
  const { contextLength } = session.plan;
  const policy = policyOf(options);
  session.trials.check(policy);
  const limit = answerLimit(contextLength, tokens.length, mayShift(contextLength, policy), maxTokens);
  const sequence = session.sequences.take(tokens, { spans: adaptation.spans(tokens), slot, policy, isFurther, isAnew });
  sequence.keep(kept, contextLength);
  sequence.shadows = kvShadow;
  return { sequence, limit, prepared: session.prepare(sequence, isAnew ? contextLength : tokens.length + limit) };
}

/** Its tokens take of the adapters what `adapted` says, also behind the prompt, as far as that goes. */
function attach(sequence: Sequence, adapted: AdaptedText, { tokens }: PromptTokens): void {
  sequence.attach(adapted);
  adapted.later.forEach((row, i) => (sequence.rows[tokens.length + i] = row));
}

interface Answer {
  sequence: Sequence;
  text: TextStream;
  chunks: DecodedChunks | undefined;
  meter: AnswerMeter;
}

/** An event for each token, until one ends the answer or there are enough: why it ends. */
async function* tokenEvents(
  steps: AnswerSteps,
  tokenizer: Tokenizer,
  { wantsEntropy = false, topLogprobs = 0, signal }: GenerateOptions,
  { sequence, text, chunks, meter }: Answer,
): AsyncGenerator<GenerateEvent, FinishReason> {
  for (let next = await steps.next(); next; next = await steps.next()) {
    const { token, position, entropy, logits, row } = next;
    const isEnd = tokenizer.eosIds.has(token);
    const piece = isEnd ? '' : text.push(token);
    const isLast = isEnd || text.stopped || (await steps.endsGrammar());
    const contextUsed = sequence.placeOf(position + 1);
    yield {
      ...{ type: 'token', token, text: piece, ms: meter.push(next), contextUsed },
      ...(wantsEntropy && entropy !== undefined && { entropy }),
      ...(logits && !isEnd && { logprobs: tokenLogprobs(tokenizer, logits, token, topLogprobs) }),
      ...(row && chunks?.push(token, position, row, entropy)),
    };
    throwIfAborted(signal);
    if (isLast) return 'stop';
    steps.goOn(token);
  }
  return 'length';
}

/** What an answer's text came to on the GPU. */
async function measure(
  session: Session,
  sequence: Sequence,
  isPlanned: boolean,
): Promise<Pick<GenerationReport, 'kv' | 'meanRank'>> {
  const meanRank = await session.ranks.read(sequence);
  // Behind them are pages of steps that were asked for and are thrown away.
  const pages = sequence.pages.slice(0, pagesFor(sequence.heldTokens));
  const { dropped, memoryOverrode, peakKvBytes, probed } = sequence;
  const formsRefused = session.trials.isRefused(sequence.policy);
  const kv = {
    ...kvReport({ pages, dropped, memoryOverrode, peakKvBytes, probed }, formsRefused),
    ...(sequence.shadows && { shadowErrors: await session.shadow.errors(sequence) }),
  };
  return { kv, ...(isPlanned && { meanRank }) };
}
