import { pagesFor } from '../cache/kv-cache.ts';
import { policyOf } from '../cache/policy.ts';
import { largest, unitVector } from '../util/numbers.ts';
import { unlessAborted } from '../errors/chunkwise-error.ts';
import { readOnce } from '../gpu/recorder.ts';
import type { ResponseFormat } from '../grammar/response-format.ts';
import type { Grammars, TokenGrammar } from '../grammar/token-grammar.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Adaptation, Adapters, TextRanks } from './adapters.ts';
import type { AsyncQueue } from './async-queue.ts';
import { LabelReader } from './label-reader.ts';
import type { LiveSession } from './live-session.ts';
import { Loop } from './loop.ts';
import type { RequestQueue, Turn } from './request-queue.ts';
import { answerLimit, mayShift, type PromptTokens } from './running-request.ts';
import type { Texts } from './texts.ts';
import type {
  AdapterUse,
  ChatExtras,
  EmbedOptions,
  GenerateEvent,
  GenerateOptions,
  LabelRead,
  LabelScores,
  TextEmbedding,
} from './types.ts';

/** Needs of a request that decide on its admission. */
interface Admission {
  /** Cache pages that it may fill. */
  pages: number;
  ranks: TextRanks;
  /** Another answer to an admitted request. */
  isFurther?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Resources of an admitted request. */
interface Admitted {
  session: Session;
  /** Its sequence slot. */
  slot: number;
  adaptation: Adaptation;
}

/** The requests of an engine: each waits for admission, runs, and leaves. */
export class Requests {
  readonly #loops = new WeakMap<Session, Loop>();

  constructor(
    private readonly live: LiveSession,
    private readonly queue: RequestQueue,
    private readonly adapters: Adapters,
    private readonly texts: Texts,
    private readonly grammars: Grammars,
  ) {}

  chat(
    messages: readonly ChatTurn[],
    { tools, documents, ...options }: GenerateOptions & ChatExtras,
    queue: AsyncQueue<GenerateEvent>,
  ): Promise<void> {
    const { texts } = this;
    return this.#generate(
      (shifts) => texts.chat(messages, { tools, documents }, shifts),
      options,
      texts.chatTokenizer,
      queue,
    );
  }

  complete(prompt: string, options: GenerateOptions, queue: AsyncQueue<GenerateEvent>): Promise<void> {
    const { texts } = this;
    return this.#generate((shifts) => texts.prompt(prompt, shifts), options, texts.tokenizer, queue);
  }

  async embed(
    inputs: readonly (string | readonly number[])[],
    { adapters = [], signal }: EmbedOptions,
    queue: AsyncQueue<TextEmbedding>,
  ): Promise<void> {
    this.live.throwIfDisposed();
    const texts = inputs.map((input, i) => this.texts.input(input, `input[${i}]`));
    await this.#run(adapters, async (admit) => {
      const lengths = texts.map(({ length }) => length);
      const admitted = await admit({ pages: pagesFor(largest(lengths, 0)), ranks: 'all', signal });
      for (const tokens of texts)
        await queue.push({ vector: await embedText(admitted, tokens, signal), tokens: tokens.length });
    });
  }

  scoreLabels(
    messages: readonly ChatTurn[],
    reads: readonly LabelRead[],
    { signal }: { signal?: AbortSignal },
    queue: AsyncQueue<LabelScores>,
  ): Promise<void> {
    const uses = reads.flatMap(({ adapters = [] }) => adapters);
    return this.#run(uses, async (admit) => {
      const reader = new LabelReader(this.texts, messages, reads);
      const pages = Math.min(reader.pages, pagesFor(this.texts.contextLength));
      const { session, slot } = await admit({ pages, ranks: 'all', signal });
      this.live.beginText();
      const adapt = (some: readonly AdapterUse[]): Promise<Adaptation> => this.adapters.adapt(some, 'all');
      for await (const scores of reader.scores(session, { slot, pages, adapt, signal })) await queue.push(scores);
    });
  }

  /** Runs `work` while no request runs, and admits none meanwhile: for work that keeps activations between awaits. `signal` ends the wait. */
  async alone<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const turn = await this.queue.enterAlone(signal);
    try {
      return await this.live.use(work);
    } finally {
      turn.leave();
    }
  }

  /** `encode`: the prompt's tokens, given whether the text may exceed the context. `tokenizer`: turns the answer into text. */
  #generate(
    encode: (shifts: boolean) => PromptTokens,
    options: GenerateOptions,
    tokenizer: Tokenizer,
    queue: AsyncQueue<GenerateEvent>,
  ): Promise<void> {
    const { adapters = [], responseFormat, maxTokens, isFurther, signal } = options;
    const { contextLength } = this.texts;
    return this.#run(adapters, async (admit) => {
      const shifts = mayShift(contextLength, policyOf(options));
      const prompt = encode(shifts);
      this.texts.check(prompt, shifts, options);
      const grammar = responseFormat && (await this.#grammar(responseFormat, signal));
      try {
        const limit = answerLimit(contextLength, prompt.tokens.length, shifts, maxTokens);
        const most = Math.min(prompt.tokens.length + limit - 1, contextLength); // the last token is not computed
        const { session, ...rest } = await admit({ pages: pagesFor(most), ranks: options, isFurther, signal });
        this.live.beginText();
        const loop = this.#loops.get(session) ?? new Loop(session);
        this.#loops.set(session, loop);
        await loop.run({ prompt, options, tokenizer, grammar, ...rest }, queue);
      } finally {
        grammar?.dispose();
      }
    });
  }

  /** Runs a request, with its adapters held. Errors: those of `work`, and of admission: `queue_full`, `aborted`, `bad_request`, `disposed`. */
  async #run(
    uses: readonly AdapterUse[],
    work: (admit: (needs: Admission) => Promise<Admitted>) => Promise<void>,
  ): Promise<void> {
    const { live } = this;
    live.throwIfDisposed();
    const release = this.adapters.hold(uses);
    let turn: Turn | undefined;
    let session: Session | undefined;
    try {
      await work(async ({ pages, ranks, isFurther, signal }) => {
        turn = await this.queue.enter(pages, signal, isFurther);
        session = await live.get();
        return { session, slot: turn.slot, adaptation: await this.adapters.adapt(uses, ranks) };
      });
    } catch (error) {
      live.failed(error, session);
    } finally {
      turn?.leave();
      release();
    }
  }

  /** Compiles the grammar of a response format. Errors: `bad_request`, `unsupported`, `aborted`. */
  async #grammar(format: ResponseFormat, signal: AbortSignal | undefined): Promise<TokenGrammar> {
    const beginning = this.grammars.begin(format);
    try {
      return await unlessAborted(beginning, signal);
    } catch (error) {
      beginning.then((grammar) => grammar.dispose()).catch(() => undefined);
      throw error;
    }
  }
}

/**
 * The mean of a text's hidden states after the last norm, scaled to length one: `[hiddenSize]`. Other requests may run
 * beside it; the cache keeps nothing of the text. Errors: `context_overflow`, `aborted`, `device_lost`, `scheduler_lost`.
 */
async function embedText(
  { session, adaptation, slot }: Admitted,
  tokens: readonly number[],
  signal?: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  const { transformer, recorder, device } = session;
  const { hiddenSize } = transformer.config;
  const sum = new Float64Array(hiddenSize);
  const text = await adaptation.begin(tokens, 0);
  const sequence = new Sequence(undefined, slot);
  sequence.attach(text);
  try {
    const onBatch = async (_: number, length: number): Promise<void> => {
      const states = transformer.states(recorder, length);
      // Before the first await: others use the same activations after it.
      recorder.submit();
      const range = { buffer: states, offset: 0, size: length * hiddenSize * 4 };
      new Float32Array(await readOnce(device, 'states', [range])).forEach(
        (value, i) => (sum[i % hiddenSize]! += value),
      );
    };
    await session.prefill(sequence, tokens, onBatch, signal);
  } finally {
    session.release(sequence);
    text.close();
  }
  return unitVector(sum);
}
