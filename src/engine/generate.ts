import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { Detokenizer } from '../tokenizer/detokenizer.ts';
import { StopStrings } from '../tokenizer/stop-strings.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { AdapterMix } from './adapter-mix.ts';
import type { Session } from './session.ts';
import { Stopwatch } from './statistics.ts';
import type { FinishReason, GenerateEvent, GenerateOptions } from './types.ts';

/**
 * Answers `prompt`: prefills what the cache does not hold, then decodes. The step after each token is submitted before
 * that token is read; when it turns out to be the last, the step's result is thrown away.
 * Errors: `context_overflow`, `aborted`, `device_lost`.
 */
export async function* generate(
  session: Session,
  tokenizer: Tokenizer,
  prompt: readonly number[],
  { maxTokens, sampling, stop, signal }: GenerateOptions,
  adapters: AdapterMix,
): AsyncGenerator<GenerateEvent, void> {
  const { contextLength } = session.plan;
  const limit = Math.min(maxTokens ?? Infinity, contextLength - prompt.length);
  const watch = new Stopwatch();
  const text = new TextStream(tokenizer, stop);
  const sequence = session.sequences.take(prompt, adapters);
  const cachedTokens = sequence.tokens.length;
  let steps = 0;
  let dispatchesBefore = 0;
  let completionTokens = 0;
  let pending: Promise<number> | undefined;
  let finishReason: FinishReason = 'length';
  try {
    session.beginSampling(sampling, prompt);
    await session.prefill(
      sequence,
      prompt.slice(cachedTokens),
      (start, length) => {
        if (cachedTokens + start + length === prompt.length) pending = session.sample(length, sampling, prompt.length);
      },
      signal,
    );
    dispatchesBefore = session.recorder.dispatches;
    while (pending) {
      const current = pending;
      pending = undefined;
      const position = prompt.length + completionTokens;
      if (completionTokens + 1 < limit) {
        pending = session.decode(sequence, sampling, position);
        steps++;
      }
      pending?.catch(() => undefined); // reported when it is awaited, below or in `finally`
      const token = await current;
      throwIfAborted(signal);
      completionTokens++;
      const ended = tokenizer.eosIds.has(token);
      const piece = ended ? '' : text.push(token);
      const contextUsed = position + 1;
      yield { type: 'token', token, text: piece, ms: watch.lap(), contextUsed };
      throwIfAborted(signal);
      if (ended || text.stopped) {
        finishReason = 'stop';
        break;
      }
      // Its step is submitted: its keys and values are in the cache, or will be before anyone reads them.
      if (pending) sequence.tokens.push(token);
    }
  } finally {
    await pending?.catch(() => undefined);
    session.sequences.giveBack(sequence);
  }
  const dispatchesPerToken = steps === 0 ? 0 : (session.recorder.dispatches - dispatchesBefore) / steps;
  const { dispatchesPerLayer } = session.transformer;
  yield {
    type: 'end',
    text: text.flush(),
    finishReason,
    usage: { promptTokens: prompt.length, cachedTokens, completionTokens },
    report: watch.report({ dispatchesPerToken, dispatchesPerLayer }),
  };
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
