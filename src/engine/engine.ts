import type { AdapterSource } from '../adapters/adapter-header.ts';
import { pagesFor } from '../cache/kv-cache.ts';
import { policyOf } from '../cache/policy.ts';
import { ChunkwiseError, unlessAborted } from '../errors/chunkwise-error.ts';
import type { MemoryReport } from '../gpu/buffers.ts';
import { readOnce } from '../gpu/recorder.ts';
import type { ResponseFormat } from '../grammar/response-format.ts';
import type { Grammars, TokenGrammar } from '../grammar/token-grammar.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import { createTokenizer, type Tokenizer } from '../tokenizer/tokenizer.ts';
import { largest, unitVector } from '../util/numbers.ts';
import { type Adaptation, Adapters, type TextRanks } from './adapters.ts';
import { type AsyncQueue, readQueue } from './async-queue.ts';
import { grammarVocabulary } from './features/grammar.ts';
import { LabelReader } from './label-reader.ts';
import { LiveSession } from './live-session.ts';
import { Loop } from './loop.ts';
import { DEFAULT_QUEUE_LIMIT, RequestQueue, type Turn } from './request-queue.ts';
import { answerLimit, mayShift, type PromptTokens } from './running-request.ts';
import { SavedSequences } from './saved-sequences.ts';
import { Texts } from './texts.ts';
import type {
  AdapterInfo,
  AdapterUse,
  ChatExtras,
  EmbedOptions,
  EngineCore,
  EngineCoreOptions,
  GenerateEvent,
  GenerateOptions,
  LabelRead,
  LabelScores,
  TextEmbedding,
} from './types.ts';

/** Needs of a request that decide on its admission. */
interface Needs {
  /** Cache pages that it may fill. */
  pages: number;
  ranks: TextRanks;
  /** Another answer to an admitted request. */
  isFurther?: boolean | undefined;
}

/** Resources of an admitted request. */
interface Admitted {
  session: Session;
  /** Its sequence slot. */
  slot: number;
  adaptation: Adaptation;
}

/**
 * The engine in this thread. Each request waits for admission, runs, and leaves. The command line and tests use its session
 * directly.
 */
export class LocalEngine implements EngineCore {
  readonly #live: LiveSession;
  readonly #adapters: Adapters;
  readonly #queue: RequestQueue;
  readonly #loops = new WeakMap<Session, Loop>();
  readonly #texts: Texts;
  readonly #grammars: Grammars;
  readonly #readTimeoutMs: number | undefined;
  readonly model: string;
  readonly device: string;
  readonly savedCaches: SavedSequences;

  /** `reopen`: opens another session after a lost device. */
  constructor(options: EngineCoreOptions, session: Session, reopen: () => Promise<Session>) {
    const { plan, device } = session;
    const tokenizer = createTokenizer(plan.tokenizer);
    const { config, contextLength, numPages } = plan;
    const {
      queueLimit = DEFAULT_QUEUE_LIMIT,
      openGrammars = noGrammars,
      savedCaches,
      sources,
      readTimeoutMs,
    } = options;
    this.#grammars = openGrammars(() => grammarVocabulary(tokenizer, config.vocabSize));
    const asked = (to: Session): Session => {
      to.entryShares.request = () => this.#texts.askToRepeat();
      return to;
    };
    this.#live = new LiveSession(async () => asked(await reopen()), asked(session));
    this.#adapters = new Adapters(this.#live, tokenizer, options);
    this.#texts = new Texts(tokenizer, plan.tokenizer, contextLength);
    this.#queue = new RequestQueue(queueLimit, numPages);
    this.#readTimeoutMs = readTimeoutMs;
    this.model = plan.file;
    this.device = device.name;
    this.savedCaches = new SavedSequences(this.#live, (work) => this.alone(work), savedCaches, sources);
  }

  get contextLength(): number {
    return this.#texts.contextLength;
  }

  get tokenizer(): Tokenizer {
    return this.#texts.tokenizer;
  }

  get chatTraits(): ChatTraits {
    return this.#texts.chatTraits;
  }

  chat(
    messages: readonly ChatTurn[],
    { tools, documents, ...options }: GenerateOptions & ChatExtras,
  ): AsyncGenerator<GenerateEvent, void> {
    const texts = this.#texts;
    return this.#generate((shifts) => texts.chat(messages, { tools, documents }, shifts), options, texts.chatTokenizer);
  }

  complete(prompt: string, options: GenerateOptions): AsyncGenerator<GenerateEvent, void> {
    const texts = this.#texts;
    return this.#generate((shifts) => texts.prompt(prompt, shifts), options, texts.tokenizer);
  }

  embed(
    inputs: readonly (string | readonly number[])[],
    { adapters = [], signal }: EmbedOptions,
  ): AsyncGenerator<TextEmbedding, void> {
    return this.#run(adapters, signal, async (admit, queue) => {
      const texts = inputs.map((input, i) => this.#texts.input(input, `input[${i}]`));
      const lengths = texts.map(({ length }) => length);
      const admitted = await admit({ pages: pagesFor(largest(lengths, 0)), ranks: 'all' });
      for (const tokens of texts)
        await queue.push({ vector: await embedText(admitted, tokens, signal), tokens: tokens.length });
    });
  }

  scoreLabels(
    messages: readonly ChatTurn[],
    reads: readonly LabelRead[],
    { signal }: { signal?: AbortSignal },
  ): AsyncGenerator<LabelScores, void> {
    const uses = reads.flatMap(({ adapters = [] }) => adapters);
    const held = [...new Map(uses.map((use) => [use.name, use])).values()];
    return this.#run(held, signal, async (admit, queue) => {
      const reader = new LabelReader(this.#texts, messages, reads);
      const pages = Math.min(reader.pages, pagesFor(this.contextLength));
      const { session, slot } = await admit({ pages, ranks: 'all' });
      this.#live.beginText();
      const adapt = (some: readonly AdapterUse[]): Promise<Adaptation> => this.#adapters.adapt(some, 'all');
      for await (const scores of reader.scores(session, { slot, pages, adapt, signal })) await queue.push(scores);
    });
  }

  rerank(): never {
    throw new ChunkwiseError('unsupported', {
      field: 'model',
      reason: `${this.model} cannot score documents; a cross-encoder can`,
    });
  }

  countTokens(messages: readonly ChatTurn[]): number {
    return this.#texts.encodeChat(messages).length;
  }

  loadAdapter(name: string, source: AdapterSource): Promise<AdapterInfo> {
    return this.#adapters.load(name, source);
  }

  unloadAdapter(name: string): void {
    this.#adapters.unload(name);
  }

  adapters(): AdapterInfo[] {
    return this.#adapters.list();
  }

  /** See `Adapters.adapt`. */
  adapt(uses: readonly AdapterUse[], ranks?: TextRanks): Promise<Adaptation> {
    return this.#adapters.adapt(uses, ranks);
  }

  memory(): MemoryReport {
    return this.#live.memory();
  }

  dispose(): void {
    this.#live.dispose();
    this.#grammars.dispose();
  }

  /**
   * Runs `work` while no request runs, and admits none meanwhile: for work that keeps activations between awaits.
   * `signal` ends the wait.
   */
  async alone<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const turn = await this.#queue.enterAlone(signal);
    try {
      return await this.#live.use(work);
    } finally {
      turn.leave();
    }
  }

  /** The session, reopened after a lost device. Errors: `disposed`, and those of `openEngine`. */
  session(): Promise<Session> {
    return this.#live.get();
  }

  /** `encode`: the prompt's tokens, given whether the text may exceed the context. `tokenizer`: turns the answer into text. */
  #generate(
    encode: (shifts: boolean) => PromptTokens,
    options: GenerateOptions,
    tokenizer: Tokenizer,
  ): AsyncGenerator<GenerateEvent, void> {
    const { adapters = [], responseFormat, maxTokens, isFurther, signal } = options;
    const { contextLength } = this;
    return this.#run(adapters, signal, async (admit, queue) => {
      const shifts = mayShift(contextLength, policyOf(options));
      const prompt = encode(shifts);
      this.#texts.check(prompt, shifts, options);
      const grammar = responseFormat && (await this.#grammar(responseFormat, signal));
      try {
        const limit = answerLimit(contextLength, prompt.tokens.length, shifts, maxTokens);
        const most = Math.min(prompt.tokens.length + limit - 1, contextLength); // the last token is not computed
        const { session, ...rest } = await admit({ pages: pagesFor(most), ranks: options, isFurther });
        this.#live.beginText();
        const loop = this.#loops.get(session) ?? new Loop(session);
        this.#loops.set(session, loop);
        await loop.run({ prompt, options, tokenizer, grammar, ...rest }, queue);
      } finally {
        grammar?.dispose();
      }
    });
  }

  /**
   * Runs a request while its results are read, with its adapters held: `work` has it admitted, and pushes the results.
   * Errors: those of `work`, and of admission: `queue_full`, `aborted`, `bad_request`, `disposed`.
   */
  #run<T>(
    uses: readonly AdapterUse[],
    signal: AbortSignal | undefined,
    work: (admit: (needs: Needs) => Promise<Admitted>, queue: AsyncQueue<T>) => Promise<void>,
  ): AsyncGenerator<T, void> {
    const live = this.#live;
    const produce = async (queue: AsyncQueue<T>): Promise<void> => {
      live.throwIfDisposed();
      const release = this.#adapters.hold(uses);
      let turn: Turn | undefined;
      let session: Session | undefined;
      const admit = async ({ pages, ranks, isFurther }: Needs): Promise<Admitted> => {
        turn = await this.#queue.enter(pages, signal, isFurther);
        session = await live.get();
        return { session, slot: turn.slot, adaptation: await this.#adapters.adapt(uses, ranks) };
      };
      try {
        await work(admit, queue);
      } catch (error) {
        live.failed(error, session);
      } finally {
        turn?.leave();
        release();
      }
    };
    return readQueue(produce, { readTimeoutMs: this.#readTimeoutMs, signal });
  }

  /** Compiles the grammar of a response format. Errors: `bad_request`, `unsupported`, `aborted`. */
  async #grammar(format: ResponseFormat, signal: AbortSignal | undefined): Promise<TokenGrammar> {
    const beginning = this.#grammars.begin(format);
    try {
      return await unlessAborted(beginning, signal);
    } catch (error) {
      beginning.then((grammar) => grammar.dispose()).catch(() => undefined);
      throw error;
    }
  }
}

const noGrammars = (): Grammars => ({
  begin: async () => {
    throw new ChunkwiseError('unsupported', {
      field: 'response_format',
      reason: 'the engine was opened without grammars',
    });
  },
  dispose: () => undefined,
});

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
