import type { WorkerEvent } from '../../workers/protocol.ts';
import type { GenerateEvent } from '../engine/types.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { Listeners } from './listeners.ts';
import { parseAdapterName, parseAdapterSource, parseCacheName, parseEngineOptions, parseStoredKind, parseStoredName } from './options.ts';
import { parseChatRequest, parseCompletionRequest, parseMessages } from './requests.ts';
import { chatChunks, completionChunks, responseHead, wholeChat, wholeCompletion } from './responses.ts';
import type {
  CallOptions,
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionRequest,
  Completion,
  CompletionRequest,
  Engine,
  EngineOptions,
} from './types.ts';
import { WorkerClient } from './worker-client.ts';

/**
 * Starts a worker, brings the model there, and resolves when it can answer. A downloaded model is kept by the browser.
 * @throws ChunkwiseError `bad_request` for an option; `no_webgpu`; `network`, `bad_file`, `unsupported` for the model;
 * `over_limit` before its weights are downloaded, when the device, the storage or `memoryLimitBytes` cannot hold them;
 * `aborted`.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const load = parseEngineOptions(options, baseUrl());
  const { onProgress, signal } = options;
  const aborted = (): ChunkwiseError => new ChunkwiseError('aborted', { reason: 'the caller aborted the loading' });
  if (signal?.aborted) throw aborted();
  const listeners = new Listeners();
  if (onProgress !== undefined) listeners.add('progress', onProgress);
  // Asked of the page alone; workers have no such method. What is not granted is still stored.
  if (typeof load.model === 'string') void globalThis.navigator.storage?.persist?.().catch(() => false);
  const client = new WorkerClient();
  const onAbort = (): void => client.end(aborted());
  signal?.addEventListener('abort', onAbort);
  try {
    const info = await client.load(load, (event) => tell(listeners, event));
    return { ...info, ...methods(client, listeners, info.model) };
  } catch (error) {
    client.end(new ChunkwiseError('disposed', { reason: 'the model was not loaded' }));
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

/** What relative URLs are relative to. */
const baseUrl = (): string => globalThis.document?.baseURI ?? location.href;

function tell(listeners: Listeners, message: WorkerEvent): void {
  if (message.type === 'progress') listeners.tell('progress', message.event);
  else if (message.type === 'plan') listeners.tell('plan', message.event);
  else if (message.type === 'kv') listeners.tell('kv', message.event);
  else if (message.type === 'memory') listeners.tell('memory', message.event);
  else listeners.tell('devicelost', message.event);
}

type Methods = Omit<Engine, 'model' | 'contextLength' | 'device'>;

function methods(client: WorkerClient, listeners: Listeners, model: string): Methods {
  async function* watchTokens(
    id: string,
    events: AsyncIterable<GenerateEvent>,
  ): AsyncGenerator<GenerateEvent, void> {
    for await (const event of events) {
      if (event.type === 'token') {
        const { ms, contextUsed, level, meanRank, complexity } = event;
        listeners.tell('token', { id, ms, contextUsed, ...(level !== undefined && { level, meanRank, complexity }) });
      }
      yield event;
    }
  }

  function createChat(
    request: ChatCompletionRequest & { stream: true },
    call?: CallOptions,
  ): Promise<AsyncIterable<ChatCompletionChunk>>;
  function createChat(request: ChatCompletionRequest & { stream?: false }, call?: CallOptions): Promise<ChatCompletion>;
  async function createChat(
    request: ChatCompletionRequest,
    { signal }: CallOptions = {},
  ): Promise<AsyncIterable<ChatCompletionChunk> | ChatCompletion> {
    const { messages, options, stream, includeUsage } = parseChatRequest(request);
    const head = responseHead('chatcmpl', model);
    const events = watchTokens(head.id, client.generate(head.id, { messages }, options, signal));
    return stream ? chatChunks(head, events, includeUsage) : wholeChat(head, events);
  }

  function createCompletion(
    request: CompletionRequest & { stream: true },
    call?: CallOptions,
  ): Promise<AsyncIterable<Completion>>;
  function createCompletion(request: CompletionRequest & { stream?: false }, call?: CallOptions): Promise<Completion>;
  async function createCompletion(
    request: CompletionRequest,
    { signal }: CallOptions = {},
  ): Promise<AsyncIterable<Completion> | Completion> {
    const { prompt, options, stream, includeUsage } = parseCompletionRequest(request);
    const head = responseHead('cmpl', model);
    const events = watchTokens(head.id, client.generate(head.id, { text: prompt }, options, signal));
    return stream ? completionChunks(head, events, includeUsage) : wholeCompletion(head, events);
  }

  return {
    chat: { completions: { create: createChat } },
    completions: { create: createCompletion },
    adapters: {
      load: async (name, source) => client.loadAdapter(parseAdapterName(name), parseAdapterSource(source, baseUrl())),
      unload: (name) => client.unloadAdapter(name),
      list: () => client.adapters(),
    },
    saveCache: async (name) => client.saveCache(parseCacheName(name)),
    loadCache: async (name) => client.loadCache(parseCacheName(name)),
    cache: {
      list: () => client.stored(),
      delete: async (name, kind) => client.deleteStored(parseStoredName(name), parseStoredKind(kind)),
      size: async () => (await client.stored()).reduce((sum, { bytes }) => sum + bytes, 0),
    },
    memory: () => client.memory(),
    countTokens: async (messages) => client.countTokens(parseMessages(messages)),
    on: (event, fn) => listeners.add(event, fn),
    dispose: () => client.dispose(),
  };
}
