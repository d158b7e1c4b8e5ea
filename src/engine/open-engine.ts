import type { AdapterSource } from '../adapters/adapter-header.ts';
import type { MemoryReport } from '../gpu/buffers.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Grammars } from '../grammar/token-grammar.ts';
import type { Session } from '../session/session.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import { createTokenizer, type Tokenizer } from '../tokenizer/tokenizer.ts';
import { type Adaptation, type TextRanks, Adapters } from './adapters.ts';
import { grammarVocabulary } from './features/grammar.ts';
import { LiveSession } from './live-session.ts';
import { DEFAULT_QUEUE_LIMIT, RequestQueue } from './request-queue.ts';
import { Requests } from './requests.ts';
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
import { openSession } from '../session/open-session.ts';
import { checkSameTokens } from '../session/speculation/model-drafts.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { readModelConfig } from '../weights/model-config.ts';
import type { ModelHeader } from '../weights/model-header.ts';
import { modelKind, openModelFile } from '../weights/open-model-file.ts';
import { isSafetensors } from '../weights/safetensors/safetensors-model.ts';
import { readTokenizerMetadata } from '../weights/tokenizer-metadata.ts';
import { type EncoderEngine, openEncoderEngine } from './encoder-engine.ts';
import { type AsyncQueue, readQueue } from './async-queue.ts';

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

/** The engine in this thread. The command line and tests use its session directly. */
export class LocalEngine implements EngineCore {
  readonly #session: LiveSession;
  readonly #adapters: Adapters;
  readonly #requests: Requests;
  readonly #texts: Texts;
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
    this.#adapters = new Adapters(this.#session, tokenizer, options);
    this.#texts = new Texts(tokenizer, plan.tokenizer, contextLength);
    const queue = new RequestQueue(queueLimit, numPages);
    this.#requests = new Requests(this.#session, queue, this.#adapters, this.#texts, this.#grammars);
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

  chat(messages: readonly ChatTurn[], options: GenerateOptions & ChatExtras): AsyncGenerator<GenerateEvent, void> {
    return this.#read((queue) => this.#requests.chat(messages, options, queue), options);
  }

  complete(prompt: string, options: GenerateOptions): AsyncGenerator<GenerateEvent, void> {
    return this.#read((queue) => this.#requests.complete(prompt, options, queue), options);
  }

  embed(inputs: readonly (string | readonly number[])[], options: EmbedOptions): AsyncGenerator<TextEmbedding, void> {
    return this.#read((queue) => this.#requests.embed(inputs, options, queue), options);
  }

  scoreLabels(
    messages: readonly ChatTurn[],
    reads: readonly LabelRead[],
    options: { signal?: AbortSignal },
  ): AsyncGenerator<LabelScores, void> {
    return this.#read((queue) => this.#requests.scoreLabels(messages, reads, options, queue), options);
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

  /** See `Adapters.adapt`. */
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

  /**
   * Runs `work` while no request runs, and admits none meanwhile: for work that keeps activations between awaits.
   * `signal` ends the wait.
   */
  alone<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#requests.alone(work, signal);
  }

  /** The session, reopened after a lost device. Errors: `disposed`, and those of `openEngine`. */
  session(): Promise<Session> {
    return this.#session.get();
  }

  #read<T>(
    produce: (queue: AsyncQueue<T>) => Promise<void>,
    { signal }: { signal?: AbortSignal },
  ): AsyncGenerator<T, void> {
    return readQueue(produce, { readTimeoutMs: this.#readTimeoutMs, signal });
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

/** Loads a model that generates text, or an encoder. Errors: those of `openEngine`. */
export async function openAnyEngine(options: EngineCoreOptions): Promise<LocalEngine | EncoderEngine> {
  const { isEncoder, header } = await modelKind(options.sources);
  if (isEncoder && options.draftModel)
    throw new ChunkwiseError('unsupported', {
      field: 'draftModel',
      reason: 'an encoder answers nothing, so nothing is drafted',
    });
  return (isEncoder ? openEncoderEngine : openEngine)({ ...options, ...(header && { header }) });
}

/**
 * Opens a model, and its draft model on a second device; without one, opens the model's draft head, if any, on the
 * same. Errors: those of `openEngine`.
 */
export async function openSessionWithDrafts({ draftModel, ...options }: EngineCoreOptions): Promise<Session> {
  if (!draftModel) return openSession({ ...options, withDraftHead: true });
  const draft = await checkDraftModel(draftModel, options.header ?? (await openModelFile(options.sources)));
  const session = await openSession(options);
  try {
    session.draftModel = await openDraftModel(draft, session, { ...options, sources: draftModel });
    return session;
  } catch (error) {
    session.close();
    throw error;
  }
}

/** Refuses a draft model by its header alone. Errors: `unsupported`, and those of reading the headers. */
export async function checkDraftModel(sources: readonly ByteSource[], model: ModelHeader): Promise<ModelHeader> {
  const draft = await openModelFile(sources);
  checkSameTokens(readTokenizerMetadata(draft), readTokenizerMetadata(model));
  return draft;
}

/** When the draft model's device is lost, answers continue without it. */
function openDraftModel(header: ModelHeader, session: Session, options: EngineCoreOptions): Promise<Session> {
  const { plan } = session;
  const { memoryLimitBytes } = options;
  return openSession({
    ...options,
    contextLength: Math.min(plan.contextLength, readModelConfig(header).contextLength),
    ...(memoryLimitBytes !== undefined && { memoryLimitBytes: Math.max(0, memoryLimitBytes - plan.totalBytes) }),
    header: isSafetensors(options.sources) ? undefined : header, // the weight type of safetensors is not decided yet
    onDeviceLost: () => {
      session.draftModel?.close();
      session.draftModel = undefined;
    },
    onTrace: undefined,
  });
}
