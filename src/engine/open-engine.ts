import type { AdapterSource } from '../adapters/formats/adapter-header.ts';
import type { MemoryReport } from '../config/memory-report.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Grammars } from '../grammar/token-grammar.ts';
import type { Session } from '../session/session.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import { createTokenizer, type Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Adaptation } from './adaptation.ts';
import { Answers } from './answers.ts';
import { grammarVocabulary } from './grammar-vocabulary.ts';
import { EngineAdapters, type TextRanks } from './engine-adapters.ts';
import { LiveSession } from './live-session.ts';
import { openSessionWithDrafts } from './open-session-with-drafts.ts';
import { DEFAULT_QUEUE_LIMIT, RequestQueue } from './request-queue.ts';
import { Requests } from './requests.ts';
import { SavedSequences } from './saved-sequences.ts';
import { Texts } from './texts.ts';
import type {
  AdapterInfo,
  AdapterUse,
  ChatTools,
  EmbedOptions,
  EngineCore,
  EngineCoreOptions,
  GenerateEvent,
  GenerateOptions,
  LabelRead,
  LabelScores,
  TextEmbedding,
} from './types.ts';
import { unlessAbandoned } from './unless-abandoned.ts';

/** Loads a model. Errors: `no_webgpu`, `bad_file`, `unsupported`, `over_limit`, `aborted`. */
export async function openEngine(options: EngineCoreOptions): Promise<LocalEngine> {
  const session = await openSessionWithDrafts(options);
  try {
    return new LocalEngine(options, session, createTokenizer(session.plan.tokenizer));
  } catch (error) {
    session.close();
    throw error;
  }
}

/**
 * The engine in this thread: its parts, put together. The command line and the tests reach its session for what no chat
 * needs.
 */
export class LocalEngine implements EngineCore {
  readonly #session: LiveSession;
  readonly #adapters: EngineAdapters;
  readonly #requests: Requests;
  readonly #texts: Texts;
  readonly #answers: Answers;
  readonly #grammars: Grammars;
  readonly #readTimeoutMs: number | undefined;
  readonly model: string;
  readonly device: string;
  readonly savedCaches: SavedSequences;

  constructor(options: EngineCoreOptions, session: Session, tokenizer: Tokenizer) {
    const { plan, device } = session;
    const { config, contextLength, numPages } = plan;
    const {
      queueLimit = DEFAULT_QUEUE_LIMIT,
      openGrammars = noGrammars,
      savedCaches,
      sources,
      readTimeoutMs,
    } = options;
    this.#grammars = openGrammars(() => grammarVocabulary(tokenizer, config.vocabSize));
    this.#session = new LiveSession(() => openSessionWithDrafts(options), session);
    this.#adapters = new EngineAdapters(this.#session, tokenizer, options);
    this.#requests = new Requests(this.#session, new RequestQueue(queueLimit, numPages), this.#adapters);
    this.#texts = new Texts(tokenizer, plan.tokenizer, contextLength);
    this.#answers = new Answers(this.#session, this.#requests, this.#texts, this.#grammars);
    this.#readTimeoutMs = readTimeoutMs;
    this.model = plan.file;
    this.device = device.name;
    this.savedCaches = new SavedSequences(this.#session, this.#requests, savedCaches, sources);
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

  chat(messages: readonly ChatTurn[], options: GenerateOptions & ChatTools): AsyncGenerator<GenerateEvent, void> {
    return this.#unlessAbandoned(this.#answers.chat(messages, options), options);
  }

  complete(prompt: string, options: GenerateOptions): AsyncGenerator<GenerateEvent, void> {
    return this.#unlessAbandoned(this.#answers.complete(prompt, options), options);
  }

  embed(inputs: readonly (string | readonly number[])[], options: EmbedOptions): AsyncGenerator<TextEmbedding, void> {
    return this.#unlessAbandoned(this.#answers.embed(inputs, options), options);
  }

  scoreLabels(
    messages: readonly ChatTurn[],
    reads: readonly LabelRead[],
    options: { signal?: AbortSignal },
  ): AsyncGenerator<LabelScores, void> {
    return this.#unlessAbandoned(this.#answers.scoreLabels(messages, reads, options), options);
  }

  rerank(): never {
    throw new ChunkwiseError('unsupported', {
      field: 'model',
      reason: `${this.model} scores no documents: a cross-encoder does`,
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

  /** See `EngineAdapters.adapt`. */
  adapt(uses: readonly AdapterUse[], ranks?: TextRanks): Promise<Adaptation> {
    return this.#adapters.adapt(uses, ranks);
  }

  memory(): MemoryReport {
    return this.#session.memory();
  }

  dispose(): void {
    this.#session.dispose();
    this.#grammars.dispose();
  }

  /** Runs `work` when no request runs, and lets none begin meanwhile: for what keeps activations between awaits. `signal` ends the waiting. */
  alone<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#requests.alone(work, signal);
  }

  /** The session, made anew where the device was lost. Errors: `disposed`, and those of `openEngine`. */
  session(): Promise<Session> {
    return this.#session.get();
  }

  #unlessAbandoned<T>(events: AsyncGenerator<T, void>, { signal }: { signal?: AbortSignal }): AsyncGenerator<T, void> {
    return unlessAbandoned(events, { readTimeoutMs: this.#readTimeoutMs, signal });
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
