import type { BertConfig } from '../config/encoder-config.ts';
import type { MemoryReport } from '../gpu/buffers.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type EncoderInput, type EncoderSession, openEncoderSession } from '../session/encoder/encoder-session.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import { createTokenizer } from '../tokenizer/tokenizer.ts';
import { LiveSession } from './live-session.ts';
import { DEFAULT_QUEUE_LIMIT, RequestQueue } from './request-queue.ts';
import { Texts } from './texts.ts';
import type {
  DocumentScore,
  EmbedOptions,
  EngineCore,
  EngineCoreOptions,
  GenerateEvent,
  LabelScores,
  SavedCaches,
  TextEmbedding,
} from './types.ts';
import { type AsyncQueue, readQueue } from './async-queue.ts';

/** An encoder has no adapters. */
export type EncoderOptions = Omit<EngineCoreOptions, 'buildLadders' | 'plans'>;

/** Loads an encoder. Errors: those of `openEngine`. */
export async function openEncoderEngine(options: EncoderOptions): Promise<EncoderEngine> {
  const session = await openEncoderSession(options);
  try {
    return new EncoderEngine(options, session);
  } catch (error) {
    session.close();
    throw error;
  }
}

/** The engine of a model that embeds texts or scores pairs of them. Everything else throws `unsupported`. */
export class EncoderEngine implements EngineCore {
  readonly #session: LiveSession<EncoderSession>;
  readonly #queue: RequestQueue;
  readonly #texts: Texts;
  readonly #readTimeoutMs: number | undefined;
  readonly #isCrossEncoder: boolean;
  readonly #pairsBy: BertConfig['pairs'] | undefined;
  readonly model: string;
  readonly device: string;
  readonly savedCaches: SavedCaches;

  constructor(options: EncoderOptions, session: EncoderSession) {
    const { plan, device } = session;
    const { queueLimit = DEFAULT_QUEUE_LIMIT, readTimeoutMs } = options;
    this.#session = new LiveSession(() => openEncoderSession(options), session);
    this.#queue = new RequestQueue(queueLimit, 0);
    this.#texts = new Texts(createTokenizer(plan.tokenizer), plan.tokenizer, plan.contextLength);
    this.#readTimeoutMs = readTimeoutMs;
    this.#pairsBy = 'pairs' in plan.config ? plan.config.pairs : undefined;
    this.#isCrossEncoder = plan.config.pooling === 'rank';
    this.model = plan.file;
    this.device = device.name;
    const refuse = async (): Promise<never> => this.#refuse('has no cached text to save');
    this.savedCaches = { save: refuse, load: refuse, list: async () => [], delete: refuse };
  }

  get contextLength(): number {
    return this.#texts.contextLength;
  }

  get chatTraits(): ChatTraits {
    return this.#texts.chatTraits;
  }

  chat(): AsyncGenerator<GenerateEvent, void> {
    return this.#refuse('cannot chat');
  }

  complete(): AsyncGenerator<GenerateEvent, void> {
    return this.#refuse('cannot complete text');
  }

  embed(inputs: readonly (string | readonly number[])[], options: EmbedOptions): AsyncGenerator<TextEmbedding, void> {
    return this.#read((queue) => this.#embed(inputs, options, queue), options);
  }

  rerank(
    query: string,
    documents: readonly string[],
    options: { signal?: AbortSignal },
  ): AsyncGenerator<DocumentScore, void> {
    return this.#read((queue) => this.#rerank(query, documents, options, queue), options);
  }

  scoreLabels(): AsyncGenerator<LabelScores, void> {
    return this.#refuse('cannot make decisions');
  }

  countTokens(): number {
    return this.#refuse('has no chats to count tokens of');
  }

  async loadAdapter(): Promise<never> {
    return this.#refuse('cannot use adapters');
  }

  unloadAdapter(): void {
    this.#refuse('cannot use adapters');
  }

  adapters(): [] {
    return [];
  }

  memory(): MemoryReport {
    return this.#session.memory();
  }

  dispose(): void {
    this.#session.dispose();
  }

  async #embed(
    inputs: readonly (string | readonly number[])[],
    { adapters = [], signal }: EmbedOptions,
    queue: AsyncQueue<TextEmbedding>,
  ): Promise<void> {
    this.#session.throwIfDisposed();
    if (adapters.length > 0) this.#refuse('cannot use adapters', 'adapter');
    if (this.#isCrossEncoder) this.#refuse('cannot embed texts');
    const texts = inputs.map((input, i) => this.#texts.input(input, `input[${i}]`));
    const vectors = await this.#inTurn((session) => session.encode(texts, signal), signal);
    for (const [i, vector] of vectors.entries()) await queue.push({ vector, tokens: texts[i]!.length });
  }

  async #rerank(
    query: string,
    documents: readonly string[],
    { signal }: { signal?: AbortSignal },
    queue: AsyncQueue<DocumentScore>,
  ): Promise<void> {
    this.#session.throwIfDisposed();
    if (!this.#isCrossEncoder) this.#refuse('cannot score documents');
    const pairs = this.#pairs(query, documents);
    const scores = await this.#inTurn((session) => session.score(pairs, signal), signal);
    for (const [i, score] of scores.entries()) await queue.push({ score, tokens: pairs[i]!.tokens.length });
  }

  /**
   * `[CLS] query [SEP] document [SEP]` or `<s> query </s></s> document </s>` for each document. Errors:
   * `context_overflow`, naming query or document.
   */
  #pairs(query: string, documents: readonly string[]): EncoderInput[] {
    const { tokenizer, contextLength } = this.#texts;
    const begun = tokenizer.encode(query, { maxTokens: contextLength, field: 'query' });
    const separator = begun.slice(-1);
    const first = this.#pairsBy === 'segments' ? begun : [...begun, ...separator];
    const maxTokens = contextLength - first.length - separator.length;
    if (maxTokens < 0)
      throw new ChunkwiseError('context_overflow', {
        field: 'query',
        reason: `${first.length} tokens leave no room for a document in a context of ${contextLength}`,
      });
    return documents.map((document, i) => {
      const own = tokenizer.encode(document, { addSpecial: false, maxTokens, field: `documents[${i}]` });
      return {
        tokens: [...first, ...own, ...separator],
        ...(this.#pairsBy === 'segments' && { second: first.length }),
      };
    });
  }

  async #inTurn<T>(work: (session: EncoderSession) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const turn = await this.#queue.enter(0, signal);
    try {
      return await this.#session.use(work);
    } finally {
      turn.leave();
    }
  }

  #read<T>(
    produce: (queue: AsyncQueue<T>) => Promise<void>,
    { signal }: { signal?: AbortSignal },
  ): AsyncGenerator<T, void> {
    return readQueue(produce, { readTimeoutMs: this.#readTimeoutMs, signal });
  }

  #refuse(what: string, field = 'model'): never {
    const kind = this.#isCrossEncoder ? 'a cross-encoder, which scores documents' : 'an encoder, which embeds texts';
    throw new ChunkwiseError('unsupported', { field, reason: `${this.model} is ${kind} and ${what}` });
  }
}
