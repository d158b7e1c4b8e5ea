import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionRequest,
  ChatOptions,
  Completion,
  CompletionCreateParams,
  CreateEmbeddingResponse,
  EmbeddingCreateParams,
  InitProgressCallback,
  MLCEngineInterface,
} from '@mlc-ai/web-llm';
import { createEngine } from '../api/browser.ts';
import type * as Own from '../api/index.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import {
  chatOf,
  chunkOf,
  completionOf,
  embeddingsOf,
  initProgress,
  ownFormat,
  requestDefaults,
  statsText,
} from './conversions.ts';

/** The methods of `MLCEngine` that depend on the loaded model. */
type Backend = Pick<
  MLCEngineInterface,
  | 'chatCompletion'
  | 'completion'
  | 'embedding'
  | 'interruptGenerate'
  | 'unload'
  | 'resetChat'
  | 'getMessage'
  | 'runtimeStatsText'
>;

/** This runtime's engine with web-llm's methods. */
export class OwnEngine implements Backend {
  /** One for each answer that is being generated. */
  private readonly running = new Set<AbortController>();
  private message = '';
  private report: Own.AnswerReport | undefined;

  private constructor(
    private readonly engine: Own.Engine,
    private readonly defaults: object,
  ) {}

  /** Errors: those of `createEngine`; `unsupported` for a chat option that has no counterpart here. */
  static async load(
    model: string,
    chatOptions: ChatOptions,
    tell: InitProgressCallback | undefined,
    signal: AbortSignal,
  ): Promise<OwnEngine> {
    const { contextLength, defaults } = requestDefaults(chatOptions);
    const onProgress = tell && initProgress(tell);
    return new OwnEngine(await createEngine({ model, contextLength, onProgress, signal }), defaults);
  }

  chatCompletion(request: ChatCompletionRequest & { stream?: false | null }): Promise<ChatCompletion>;
  chatCompletion(request: ChatCompletionRequest & { stream: true }): Promise<AsyncIterable<ChatCompletionChunk>>;
  chatCompletion(request: ChatCompletionRequest): Promise<AsyncIterable<ChatCompletionChunk> | ChatCompletion>;
  async chatCompletion(request: ChatCompletionRequest): Promise<AsyncIterable<ChatCompletionChunk> | ChatCompletion> {
    // The engine checks the request, and refuses fields that it does not know.
    const response_format = request.response_format && ownFormat(request.response_format);
    const asked = { ...this.defaults, ...request, response_format } as Own.ChatCompletionRequest;
    return this.answer<Own.ChatCompletionChunk, Own.ChatCompletion, ChatCompletionChunk, ChatCompletion>(
      (options) => this.engine.chat.completions.create(asked, options),
      {
        text: ({ choices: [choice] }) => choice?.delta.content,
        wholeText: ({ choices: [choice] }) => choice?.message.content,
        chunk: chunkOf,
        whole: chatOf,
      },
    );
  }

  completion(request: CompletionCreateParams & { stream?: false | null }): Promise<Completion>;
  completion(request: CompletionCreateParams & { stream: true }): Promise<AsyncIterable<Completion>>;
  completion(request: CompletionCreateParams): Promise<AsyncIterable<Completion> | Completion>;
  async completion(request: CompletionCreateParams): Promise<AsyncIterable<Completion> | Completion> {
    const asked = { ...this.defaults, ...request } as Own.CompletionRequest;
    const text = ({ choices: [choice] }: Own.Completion): string | undefined => choice?.text;
    return this.answer((options) => this.engine.completions.create(asked, options), {
      ...{ text, wholeText: text },
      ...{ chunk: completionOf, whole: completionOf },
    });
  }

  async embedding({ user: _, model: __, ...request }: EmbeddingCreateParams): Promise<CreateEmbeddingResponse> {
    const began = performance.now();
    const embeddings = await this.engine.embeddings.create(request);
    return embeddingsOf(embeddings, (performance.now() - began) / 1000);
  }

  /** Ends all running answers: streamed ones end as they are, others throw `aborted`. */
  interruptGenerate(): void {
    for (const controller of this.running) controller.abort();
  }

  unload(): Promise<void> {
    return this.engine.dispose();
  }

  /** Forgets the last answer and its figures; requests carry their whole chat. */
  async resetChat(keepStats = false): Promise<void> {
    this.message = '';
    if (!keepStats) this.report = undefined;
  }

  async getMessage(): Promise<string> {
    return this.message;
  }

  async runtimeStatsText(): Promise<string> {
    return statsText(this.report);
  }

  private async answer<C extends Reported, W extends Reported, OutC, OutW>(
    create: (options: Own.CallOptions) => Promise<AsyncIterable<C> | W>,
    conversions: Conversions<C, W, OutC, OutW>,
  ): Promise<AsyncIterable<OutC> | OutW> {
    this.message = '';
    const controller = new AbortController();
    this.running.add(controller);
    const end = (): void => void this.running.delete(controller);
    let answered: AsyncIterable<C> | W;
    try {
      answered = await create({ signal: controller.signal });
    } catch (error) {
      end();
      throw error;
    }
    if (Symbol.asyncIterator in answered) return this.watch(answered, conversions, controller.signal, end);
    end();
    this.message = conversions.wholeText(answered) ?? '';
    this.report = answered.chunkwise;
    return conversions.whole(answered);
  }

  private async *watch<C extends Reported, W, OutC, OutW>(
    chunks: AsyncIterable<C>,
    { text, chunk: convert }: Conversions<C, W, OutC, OutW>,
    signal: AbortSignal,
    end: () => void,
  ): AsyncGenerator<OutC, void> {
    try {
      for await (const chunk of chunks) {
        this.report = chunk.chunkwise ?? this.report;
        this.message += text(chunk) ?? '';
        yield convert(chunk);
      }
    } catch (error) {
      const isInterrupted = signal.aborted && error instanceof ChunkwiseError && error.code === 'aborted';
      if (!isInterrupted) throw error;
    } finally {
      end();
    }
  }
}

interface Reported {
  chunkwise?: Own.AnswerReport;
}

/** Conversions of responses, in chunks and whole, to web-llm's; and the text that they hold. */
interface Conversions<C, W, OutC, OutW> {
  text: (chunk: C) => string | null | undefined;
  wholeText: (answer: W) => string | null | undefined;
  chunk: (chunk: C) => OutC;
  whole: (answer: W) => OutW;
}
