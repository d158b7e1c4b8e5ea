import type { MemoryReport } from '../config/memory-report.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type EncoderSession, openEncoderSession } from '../session/encoder/encoder-session.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import { createTokenizer } from '../tokenizer/tokenizer.ts';
import { LiveSession } from './live-session.ts';
import { DEFAULT_QUEUE_LIMIT, RequestQueue } from './request-queue.ts';
import { Texts } from './texts.ts';
import type { EmbedOptions, EngineCore, EngineCoreOptions, GenerateEvent, SavedCaches, TextEmbedding } from './types.ts';
import { unlessAbandoned } from './unless-abandoned.ts';

/** Loads an encoder. Errors: those of `openEngine`. */
export async function openEncoderEngine(options: EngineCoreOptions): Promise<EncoderEngine> {
  const session = await openEncoderSession(options);
  try {
    return new EncoderEngine(options, session);
  } catch (error) {
    session.device.close();
    throw error;
  }
}

/** The engine of a model that embeds texts and answers nothing: what it cannot do throws `unsupported`. */
export class EncoderEngine implements EngineCore {
  readonly #session: LiveSession<EncoderSession>;
  readonly #queue: RequestQueue;
  readonly #texts: Texts;
  readonly #readTimeoutMs: number | undefined;
  readonly model: string;
  readonly device: string;
  readonly savedCaches: SavedCaches;

  constructor(options: EngineCoreOptions, session: EncoderSession) {
    const { plan, device } = session;
    const { queueLimit = DEFAULT_QUEUE_LIMIT, readTimeoutMs } = options;
    this.#session = new LiveSession(() => openEncoderSession(options), session);
    this.#queue = new RequestQueue(queueLimit, 0);
    this.#texts = new Texts(createTokenizer(plan.tokenizer), plan.tokenizer, plan.contextLength);
    this.#readTimeoutMs = readTimeoutMs;
    this.model = plan.file;
    this.device = device.name;
    const refuse = async (): Promise<never> => this.#refuse('keeps no text that could be saved');
    this.savedCaches = { save: refuse, load: refuse, list: async () => [], delete: refuse };
  }

  get contextLength(): number {
    return this.#texts.contextLength;
  }

  get chatTraits(): ChatTraits {
    return this.#texts.chatTraits;
  }

  chat(): AsyncGenerator<GenerateEvent, void> {
    return this.#refuse('answers no chat');
  }

  complete(): AsyncGenerator<GenerateEvent, void> {
    return this.#refuse('completes no text');
  }

  embed(inputs: readonly (string | readonly number[])[], options: EmbedOptions): AsyncGenerator<TextEmbedding, void> {
    return unlessAbandoned(this.#embed(inputs, options), { readTimeoutMs: this.#readTimeoutMs, signal: options.signal });
  }

  countTokens(): number {
    return this.#refuse('has no chats whose tokens could be counted');
  }

  async loadAdapter(): Promise<never> {
    return this.#refuse('takes no adapters');
  }

  unloadAdapter(): void {
    this.#refuse('takes no adapters');
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

  async *#embed(inputs: readonly (string | readonly number[])[], { adapters = [], signal }: EmbedOptions): AsyncGenerator<TextEmbedding, void> {
    this.#session.throwIfDisposed();
    if (adapters.length > 0) this.#refuse('takes no adapters', 'adapter');
    const texts = inputs.map((input, i) => this.#texts.input(input, `input[${i}]`));
    const turn = await this.#queue.enter(0, signal);
    try {
      const vectors = await this.#session.use((session) => session.encode(texts, signal));
      for (const [i, vector] of vectors.entries()) yield { vector, tokens: texts[i]!.length };
    } finally {
      turn.leave();
    }
  }

  #refuse(what: string, field = 'model'): never {
    throw new ChunkwiseError('unsupported', { field, reason: `${this.model} is an encoder: it embeds texts, and ${what}` });
  }
}
