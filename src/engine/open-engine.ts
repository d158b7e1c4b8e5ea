import { type AdapterModules, readAdapter } from '../adapters/formats/adapter-file.ts';
import type { AdapterSource } from '../adapters/formats/adapter-header.ts';
import { buildAdapterLadder } from '../adapters/ladder/adapter-ladder.ts';
import { policyOf } from '../cache/kv-options.ts';
import { pagesFor } from '../cache/kv-cache.ts';
import type { MemoryReport } from '../config/memory-report.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { Grammars, type TokenGrammar } from '../grammar/grammars.ts';
import { bytesInAlphabet } from '../tokenizer/byte-alphabet.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import { type ChatTraits, chatTraits } from '../tokenizer/chat-traits.ts';
import { createTokenizer, type Tokenizer } from '../tokenizer/tokenizer.ts';
import { type Adaptation, planned, UNADAPTED, wholeAdapters } from './adaptation.ts';
import { AdapterRegistry } from './adapter-registry.ts';
import { embedText } from './embed-text.ts';
import { answerLimit, generate, type Prompt } from './generate.ts';
import { inlinePlans } from './plan-service.ts';
import { RequestQueue, type Turn } from './request-queue.ts';
import { SavedSequences } from './saved-sequences.ts';
import { openSession } from '../session/open-session.ts';
import type { Session } from '../session/session.ts';
import { Texts } from './texts.ts';
import type {
  AdapterInfo,
  AdapterUse,
  ChatTools,
  EmbedOptions,
  Embedding,
  EngineCore,
  EngineCoreOptions,
  GenerateEvent,
  GenerateOptions,
  PlanEvent,
  RankOptions,
} from './types.ts';
import { unlessAbandoned } from './unless-abandoned.ts';

const DEFAULT_QUEUE_LIMIT = 16;

/** Loads a model. Errors: `no_webgpu`, `bad_file`, `unsupported`, `over_limit`, `aborted`. */
export async function openEngine(options: EngineCoreOptions): Promise<LocalEngine> {
  const session = await openSession(options);
  try {
    return new LocalEngine(options, session, createTokenizer(session.plan.tokenizer));
  } catch (error) {
    session.device.close();
    throw error;
  }
}

/** The engine in this thread. The command line and the tests reach its session for what no chat needs. */
export class LocalEngine implements EngineCore {
  readonly #queue: RequestQueue;
  readonly #adapters: AdapterRegistry;
  readonly #grammars: Grammars;
  #session: Session | undefined;
  #opening: Promise<Session> | undefined;
  #disposed = false;
  /** Why the text that was computed last is no more. */
  #lostText: string | undefined;
  readonly #texts: Texts;
  readonly model: string;
  readonly contextLength: number;
  readonly device: string;
  readonly chatTraits: ChatTraits;
  readonly savedCaches: SavedSequences;

  constructor(
    private readonly options: EngineCoreOptions,
    session: Session,
    readonly tokenizer: Tokenizer,
  ) {
    this.#session = session;
    this.#queue = new RequestQueue(options.queueLimit ?? DEFAULT_QUEUE_LIMIT, session.plan.numPages);
    this.#adapters = new AdapterRegistry(options.lora ?? 'fused');
    const { vocabSize } = session.plan.config;
    this.#grammars = new Grammars({ ...tokenizer, vocabSize, byteText: bytesInAlphabet }, options.loadXgrammar ?? noXgrammar);
    this.model = session.plan.file;
    this.contextLength = session.plan.contextLength;
    this.device = session.device.name;
    this.#texts = new Texts(tokenizer, session.plan.tokenizer, this.contextLength);
    this.chatTraits = chatTraits(session.plan.tokenizer);
    this.savedCaches = new SavedSequences(this, options.savedCaches, options.sources);
  }

  chat(messages: readonly ChatTurn[], { tools, ...options }: GenerateOptions & ChatTools): AsyncGenerator<GenerateEvent, void> {
    const answer = this.#answer((shifts) => this.#texts.chat(messages, tools, shifts), options, this.#texts.chatTokenizer);
    return this.#unlessAbandoned(answer, options);
  }

  complete(prompt: string, options: GenerateOptions): AsyncGenerator<GenerateEvent, void> {
    return this.#unlessAbandoned(this.#answer((shifts) => this.#texts.prompt(prompt, shifts), options), options);
  }

  embed(inputs: readonly (string | readonly number[])[], options: EmbedOptions): AsyncGenerator<Embedding, void> {
    return this.#unlessAbandoned(this.#embed(inputs, options), options);
  }

  async *#embed(inputs: readonly (string | readonly number[])[], { adapters: uses = [], signal }: EmbedOptions): AsyncGenerator<Embedding, void> {
    this.#throwIfDisposed();
    const texts = inputs.map((input, i) => this.#texts.input(input, `input[${i}]`));
    const release = this.#adapters.hold(uses);
    let turn: Turn | undefined;
    let session: Session | undefined;
    try {
      turn = await this.#queue.enter(pagesFor(Math.max(0, ...texts.map(({ length }) => length))), signal);
      session = await this.session();
      const adaptation = await this.adapt(uses, { ranks: this.options.lora === 'unfused' ? undefined : 'uniform' });
      for (const tokens of texts) {
        yield { vector: await embedText(session, tokens, adaptation, turn.slot, signal), tokens: tokens.length };
      }
    } catch (error) {
      this.#failed(error, session);
    } finally {
      turn?.leave();
      release();
    }
  }

  countTokens(messages: readonly ChatTurn[]): number {
    return this.#texts.encodeChat(messages).length;
  }

  async loadAdapter(name: string, source: AdapterSource): Promise<AdapterInfo> {
    const { config, names } = (await this.session()).plan;
    const adapter = await readAdapter(source, { config, names });
    const { buildLadders = async (modules: AdapterModules) => buildAdapterLadder(modules) } = this.options;
    const ladders = await buildLadders(adapter);
    return this.#withSession((session) => this.#adapters.load(session, name, adapter, ladders));
  }

  unloadAdapter(name: string): void {
    this.#adapters.unload(name);
  }

  adapters(): AdapterInfo[] {
    return this.#adapters.list();
  }

  /**
   * How texts take these adapters: by a plan. Errors: `bad_request`; `unsupported` for ranks where adapters run in
   * their plain form.
   */
  async adapt(
    uses: readonly AdapterUse[],
    options: RankOptions & { onPlan?: (event: PlanEvent) => void } = {},
  ): Promise<Adaptation> {
    if (uses.length === 0) return UNADAPTED;
    const session = await this.session();
    const { tokenizer } = this;
    const { plans: service = inlinePlans, lora } = this.options;
    if (lora === 'unfused') {
      if ((options.ranks ?? 'uniform') !== 'uniform' || options.plan || options.equalMeanRank) {
        throw new ChunkwiseError('unsupported', { field: 'ranks', reason: 'adapters in their plain form have all ranks' });
      }
      return wholeAdapters(await this.#adapters.mix(session, uses));
    }
    const text = (token: number): string => tokenizer.decode([token]);
    const { vocabSize } = tokenizer;
    return planned({ ...options, session, registry: this.#adapters, uses, service, vocabSize, text });
  }

  memory(): MemoryReport {
    const none: MemoryReport = { weights: 0, adapters: 0, kv: 0, activations: 0, staging: 0, total: 0 };
    return this.#session?.device.buffers.report() ?? none;
  }

  dispose(): void {
    this.#disposed = true;
    this.#session?.device.close();
    this.#session = undefined;
  }

  /** Runs `work` when no request runs, and lets none begin meanwhile: for what keeps activations between awaits. */
  async alone<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const turn = await this.#queue.enterAlone();
    try {
      return await this.#withSession(work);
    } finally {
      turn.leave();
    }
  }

  get lostText(): string | undefined {
    return this.#lostText;
  }

  /** The session, made anew where the device was lost. Errors: `disposed`, and those of `openEngine`. */
  async session(): Promise<Session> {
    this.#throwIfDisposed();
    const reason = this.#session?.device.lost();
    if (this.#session && reason !== undefined) this.#dropSession(this.#session, reason);
    if (!this.#session) {
      this.#opening ??= openSession(this.options).finally(() => (this.#opening = undefined));
      this.#session = await this.#opening;
    }
    if (this.#disposed) this.dispose();
    this.#throwIfDisposed();
    return this.#session;
  }

  async *#answer(
    encode: (shifts: boolean) => Prompt,
    options: GenerateOptions,
    tokenizer = this.tokenizer,
  ): AsyncGenerator<GenerateEvent, void> {
    this.#throwIfDisposed();
    const { adapters: uses = [], signal } = options;
    const release = this.#adapters.hold(uses);
    let turn: Turn | undefined;
    let session: Session | undefined;
    let grammar: TokenGrammar | undefined;
    try {
      const shifts = policyOf(options).drops !== undefined;
      const prompt = encode(shifts);
      this.#texts.check(prompt, shifts, options);
      grammar = options.responseFormat && (await this.#grammars.begin(options.responseFormat));
      const limit = answerLimit(this.contextLength, prompt.tokens.length, shifts, options.maxTokens);
      const most = Math.min(prompt.tokens.length + limit - 1, this.contextLength); // the last token is not computed
      turn = await this.#queue.enter(pagesFor(most), signal, options.isFurther);
      session = await this.session();
      const adaptation = await this.adapt(uses, options);
      this.#lostText = undefined;
      yield* generate(session, tokenizer, prompt, options, { adaptation, slot: turn.slot, grammar });
    } catch (error) {
      this.#failed(error, session);
    } finally {
      grammar?.dispose();
      turn?.leave();
      release();
    }
  }

  #unlessAbandoned<T>(events: AsyncGenerator<T, void>, { signal }: { signal?: AbortSignal }): AsyncGenerator<T, void> {
    return unlessAbandoned(events, { readTimeoutMs: this.options.readTimeoutMs, signal });
  }

  async #withSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.session();
    return work(session).catch((error: unknown) => this.#failed(error, session));
  }

  /** Throws what failed in `session`, or that the engine was disposed meanwhile. */
  #failed(error: unknown, session: Session | undefined): never {
    this.#throwIfDisposed(error);
    if (session && error instanceof ChunkwiseError && error.code === 'device_lost') this.#dropSession(session, error.detail.reason);
    throw error;
  }

  /** Of those that ran in a lost session the first closes it. */
  #dropSession(session: Session, reason: string): void {
    if (this.#session !== session) return;
    if (session.sequences.idle.length > 0) this.#lostText = reason;
    session.device.close();
    this.#session = undefined;
  }

  #throwIfDisposed(cause?: unknown): void {
    if (this.#disposed) throw new ChunkwiseError('disposed', { reason: 'the engine was disposed' }, { cause });
  }
}

const noXgrammar = (): Promise<never> => Promise.reject(new Error('the engine was opened without their library'));
