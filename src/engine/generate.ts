import { KvWatch } from '../cache/kv-map.ts';
import { policyOf } from '../cache/kv-options.ts';
import { kvReport } from '../cache/kv-report.ts';
import type { RampRow } from '../chunking/ramps.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { TokenGrammar } from '../grammar/grammars.ts';
import { Detokenizer } from '../tokenizer/detokenizer.ts';
import { StopStrings } from '../tokenizer/stop-strings.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Adaptation } from './adaptation.ts';
import type { AdaptedText } from '../session/adapted-text.ts';
import { DecodedChunks } from './decoded-chunks.ts';
import type { Draw, Drawn } from '../session/decode-steps.ts';
import { handled } from '../session/handled.ts';
import type { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import { Stopwatch } from './stopwatch.ts';
import { tokenLogprobs } from './token-logprobs.ts';
import type { FinishReason, GenerateEvent, GenerateOptions, GenerationReport } from './types.ts';

/** What is asked, as tokens. */
export interface Prompt {
  tokens: readonly number[];
  /** Of them at the beginning, what the system says: it is not given up where the text goes on past the context. */
  kept: number;
}

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
 * Answers `prompt` in a stream slot: prefills what the cache does not hold, then decodes. The step after each token is
 * asked for before that token is read; when it turns out to be the last, the step's result is thrown away. With a grammar
 * it is computed as early, and drawn once the token is read, since that says which may follow.
 * Errors: `context_overflow`, `aborted`, `device_lost`, `scheduler_lost`.
 */
export async function* generate(
  session: Session,
  tokenizer: Tokenizer,
  { tokens: prompt, kept }: Prompt,
  { maxTokens, sampling, stop, wantsEntropy = false, topLogprobs, isFurther, onPlan, onKv, signal, ...kvOptions }: GenerateOptions,
  { adaptation, slot, grammar }: Means,
): AsyncGenerator<GenerateEvent, void> {
  const policy = policyOf(kvOptions);
  const { contextLength } = session.plan;
  const limit = answerLimit(contextLength, prompt.length, policy.drops !== undefined, maxTokens);
  const watch = new Stopwatch();
  const text = new TextStream(tokenizer, stop);
  const sequence = session.sequences.take(prompt, { key: adaptation.key, slot, policy, isFurther });
  sequence.keep(kept, contextLength);
  session.prepare(sequence, prompt.length + limit);
  sequence.shadows = kvOptions.kvShadow ?? false;
  const watched = onKv && new KvWatch(onKv);
  const cachedTokens = sequence.tokens.length;
  let dispatches = 0;
  let dispatchesPerLayer = 0;
  let completionTokens = 0;
  let pending: Promise<Drawn> | undefined;
  let allowedLater: Draw['allowedLater'];
  let finishReason: FinishReason = 'length';
  let adapted: AdaptedText | undefined;
  let chunks: DecodedChunks | undefined;
  let measured: Pick<GenerationReport, 'kv' | 'meanRank'>;
  const draw = (position: number, allowed: Pick<Draw, 'allowed' | 'allowedLater'> = {}): Draw => ({
    ...{ sequence, sampling, position, ...allowed },
    wantsEntropy: wantsEntropy || chunks !== undefined,
    wantsLogits: topLogprobs !== undefined,
    level: sequence.rows[position] ? undefined : adapted?.follow?.options,
  });
  try {
    adapted = await adaptation.begin(prompt, cachedTokens);
    sequence.attach(adapted);
    adapted.later.forEach((row, i) => (sequence.rows[prompt.length + i] = row));
    if (adapted.ladder.length > 0) chunks = new DecodedChunks(adapted, onPlan, (token) => tokenizer.decode([token]));
    session.ranks.reset(sequence);
    session.draws.sampler.begin(slot, sampling, prompt);
    const allowedFirst = await grammar?.allowed();
    await session.prefill(
      sequence,
      prompt.slice(cachedTokens),
      (start, length) => {
        watched?.look(sequence.pages);
        if (cachedTokens + start + length < prompt.length) return;
        if (adapted?.follow) session.draws.levels.begin(slot, adapted.follow.start);
        pending = handled(session.sample(length, draw(prompt.length, { allowed: allowedFirst })));
      },
      signal,
    );
    while (pending) {
      const current = pending;
      pending = undefined;
      const position = prompt.length + completionTokens;
      const isLast = completionTokens + 1 >= limit;
      allowedLater = grammar && handled(current.then(({ token }) => (tokenizer.eosIds.has(token) ? undefined : grammar.follow(token))));
      if (!isLast) pending = handled(session.steps.ask(draw(position + 1, { allowedLater })));
      const { token, entropy, logits, row = rowOf(sequence, position), ...step } = await current.catch((error: unknown) => {
        if (completionTokens > 0) sequence.tokens.pop(); // its step was this one
        throw error;
      });
      throwIfAborted(signal);
      watched?.look(sequence.pages);
      if (row) sequence.rows[position] = row;
      completionTokens++;
      // The first is of the prefill.
      if (completionTokens > 1) dispatches += step.dispatchesPerToken;
      ({ dispatchesPerLayer } = step);
      const isEnd = tokenizer.eosIds.has(token);
      const piece = isEnd ? '' : text.push(token);
      const ended = isEnd || text.stopped || (grammar !== undefined && (await allowedLater) === undefined);
      const contextUsed = sequence.placeOf(position + 1);
      yield {
        ...{ type: 'token', token, text: piece, ms: watch.lap(), contextUsed },
        ...(wantsEntropy && entropy !== undefined && { entropy }),
        ...(logits && !isEnd && { logprobs: tokenLogprobs(tokenizer, logits, token, topLogprobs ?? 0) }),
        ...(row && chunks?.push(token, position, row, entropy)),
      };
      throwIfAborted(signal);
      if (ended) {
        finishReason = 'stop';
        break;
      }
      // Its step is asked for: its keys and values are in the cache once the next token is read.
      if (pending) sequence.tokens.push(token);
    }
    session.steps.leave(sequence);
    const meanRank = await session.ranks.read(sequence);
    const kv = { ...kvReport(sequence), ...(sequence.shadows && { shadowErrors: await session.shadow.errors(sequence) }) };
    watched?.look(sequence.pages);
    measured = { kv, ...(chunks && { meanRank }) };
  } finally {
    session.steps.leave(sequence);
    await Promise.allSettled([pending, allowedLater]);
    chunks?.finish();
    adapted?.close();
    session.trials.drop(sequence);
    session.sequences.giveBack(sequence);
  }
  const dispatchesPerToken = completionTokens > 1 ? dispatches / (completionTokens - 1) : 0;
  yield {
    type: 'end',
    text: text.flush(),
    finishReason,
    usage: { promptTokens: prompt.length, cachedTokens, completionTokens },
    report: { ...watch.report(), dispatchesPerToken, dispatchesPerLayer, ...measured },
  };
}

/** What a token is planned to take of the adapters; undefined where the GPU chooses. */
function rowOf({ rows, decodeRow }: Sequence, position: number): RampRow | undefined {
  return rows[position] ?? (decodeRow === 'stream' ? undefined : decodeRow);
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new ChunkwiseError('aborted', { reason: 'the request was aborted' });
}

/** Tokens to text, cut before the first stop string. */
class TextStream {
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
