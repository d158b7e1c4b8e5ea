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
import { createEngine } from '../api/create-engine.ts';
import type * as Own from '../api/types.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { requestDefaults } from './chat-options.ts';
import { Interruption } from './interruption.ts';
import { initProgress } from './progress.ts';
import { ownFormat } from './response-format.ts';
import { chatOf, chunkOf, completionOf, embeddingsOf, statsText } from './responses.ts';

/** What answers behind an `MLCEngine`: this runtime, or web-llm. */
export type Backend = Pick<
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

/** This runtime's engine under web-llm's methods. */
export class OwnEngine implements Backend {
  private readonly interruption = new Interruption();
  private message = '';
  private report: Own.AnswerReport | undefined;

  private constructor(
    private readonly engine: Own.Engine,
    private readonly defaults: object,
  ) {}

  /** Errors: those of `createEngine`; `unsupported` for an option of the chat that has no counterpart. */
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
    const { completions } = this.engine.chat;
    // The request's own check refuses by name what it does not know.
    const response_format = request.response_format && ownFormat(request.response_format);
    const asked = { ...this.defaults, ...request, response_format } as Own.ChatCompletionRequest;
    this.message = '';
    const { signal, end } = this.interruption.begin();
    if (request.stream !== true) {
      const whole = await completions.create({ ...asked, stream: false }, { signal }).finally(end);
      this.message = whole.choices[0]?.message.content ?? '';
      this.report = whole.chunkwise;
      return chatOf(whole);
    }
    return this.watch(await completions.create({ ...asked, stream: true }, { signal }), signal, end, (chunk) => {
      this.message += chunk.choices[0]?.delta.content ?? '';
      return chunkOf(chunk);
    });
  }

  completion(request: CompletionCreateParams & { stream?: false | null }): Promise<Completion>;
  completion(request: CompletionCreateParams & { stream: true }): Promise<AsyncIterable<Completion>>;
  completion(request: CompletionCreateParams): Promise<AsyncIterable<Completion> | Completion>;
  async completion(request: CompletionCreateParams): Promise<AsyncIterable<Completion> | Completion> {
    const { completions } = this.engine;
    const asked = { ...this.defaults, ...request } as Own.CompletionRequest;
    this.message = '';
    const { signal, end } = this.interruption.begin();
    if (request.stream !== true) {
      const whole = await completions.create({ ...asked, stream: false }, { signal }).finally(end);
      this.message = whole.choices[0]?.text ?? '';
      this.report = whole.chunkwise;
      return completionOf(whole);
    }
    return this.watch(await completions.create({ ...asked, stream: true }, { signal }), signal, end, (chunk) => {
      this.message += chunk.choices[0]?.text ?? '';
      return completionOf(chunk);
    });
  }

  async embedding({ user: _, model: __, ...request }: EmbeddingCreateParams): Promise<CreateEmbeddingResponse> {
    const began = performance.now();
    const embeddings = await this.engine.embeddings.create(request);
    return embeddingsOf(embeddings, (performance.now() - began) / 1000);
  }

  /** The running answers end as they are; their iterations too. One that is not streamed throws `aborted`. */
  interruptGenerate(): void {
    this.interruption.interrupt();
  }

  unload(): Promise<void> {
    return this.engine.dispose();
  }

  /** Requests carry their whole chat: there is none to forget but the last answer and its figures. */
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

  private async *watch<T extends { chunkwise?: Own.AnswerReport }, U>(
    chunks: AsyncIterable<T>,
    signal: AbortSignal,
    end: () => void,
    convert: (chunk: T) => U,
  ): AsyncGenerator<U, void> {
    try {
      for await (const chunk of chunks) {
        this.report = chunk.chunkwise ?? this.report;
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
