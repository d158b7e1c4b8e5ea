import type { ConfirmLoad, LoadOptions, WorkerEvent } from '../../workers/protocol.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { parseMessages } from './chat/messages.ts';
import { asShown } from './chat/written-calls.ts';
import { checkFunction, checkSignal, checked } from './checks.ts';
import { type Answerer, completions } from './completions.ts';
import { Listeners } from './listeners.ts';
import {
  baseUrl,
  parseAdapterSource,
  parseAdapterSources,
  parseCacheName,
  parseCall,
  parseEngineOptions,
  parseName,
  parseStoredKind,
} from './options.ts';
import { parseDefaults } from './request-defaults.ts';
import type { Engine, EngineOptions, ModelFile, RequestDefaults } from './types.ts';
import { WorkerClient } from './worker-client.ts';

/**
 * Starts a worker, brings the model there, and resolves when it can answer. A downloaded model is kept by the browser.
 * @throws ChunkwiseError `bad_request` for an option; `no_webgpu`; `network`, `bad_file`, `unsupported` for the model or
 * an adapter; `over_limit` before its weights are downloaded, when the device, the storage or `memoryLimitBytes` cannot
 * hold them; `kernel_refused` when this browser or its driver does not compile what the model runs on, `wrong_results` when
 * it is computed wrong; `device_lost` where the GPU stops meanwhile; `storage_lost` where what is downloaded is deleted
 * meanwhile; `aborted`, also where `confirmLoad` says no. With a `fallback`, `no_webgpu`, `kernel_refused`, `wrong_results`,
 * `over_limit` and `device_lost` are not thrown: a server answers.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const parsed = checked('options', () => ({
    load: parseEngineOptions(options, baseUrl()),
    wantedFallback: options.fallback,
    defaults: parseDefaults(options),
    adapters: parseAdapterSources(options.adapters, baseUrl()),
    confirm: checkFunction(options.confirmLoad, 'confirmLoad'),
    onProgress: checkFunction(options.onProgress, 'onProgress'),
    signal: checkSignal(options.signal),
  }));
  const { signal } = parsed;
  const opening = open(options, parsed);
  if (!signal) return opening;
  // Whatever is waited for, the engine's code among it, an abort does not wait: what is open by then is closed meanwhile.
  return new Promise<Engine>((resolve, reject) => {
    const onAbort = (): void => reject(aborted());
    signal.addEventListener('abort', onAbort);
    void opening.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

const aborted = (): ChunkwiseError => new ChunkwiseError('aborted', { reason: 'the caller aborted the loading' });

interface ParsedOptions {
  load: LoadOptions;
  wantedFallback: EngineOptions['fallback'];
  defaults: RequestDefaults;
  adapters: ReturnType<typeof parseAdapterSources>;
  confirm: ConfirmLoad | undefined;
  onProgress: EngineOptions['onProgress'];
  signal: AbortSignal | undefined;
}

async function open(
  options: EngineOptions,
  { load, wantedFallback, defaults, adapters, confirm, onProgress, signal }: ParsedOptions,
): Promise<Engine> {
  const { parseFallback, canFallBack } =
    wantedFallback === undefined ? {} : await import('./fallback/parse-fallback.ts');
  const fallback = parseFallback && checked('options', () => parseFallback(wantedFallback, baseUrl()));
  if (signal?.aborted) throw aborted();
  const listeners = new Listeners();
  if (onProgress !== undefined) listeners.add('progress', onProgress);
  // Asked of the page alone; workers have no such method. What is not granted is still stored.
  if (typeof load.model === 'string') void globalThis.navigator.storage?.persist?.().catch(() => false);
  const client = await WorkerClient.start();
  const onAbort = (): void => client.end(aborted());
  if (signal?.aborted) onAbort(); // meanwhile
  signal?.addEventListener('abort', onAbort);
  try {
    const { chat: traits, ...info } = await client.load(load, (event) => tell(listeners, event), confirm);
    for (const [name, files] of adapters) await client.loadAdapter(name, files);
    return served({
      ...info,
      answeredBy: 'device',
      ...methods({ client, listeners, model: info.model, traits, defaults }),
    });
  } catch (error) {
    client.end(new ChunkwiseError('disposed', { reason: 'the model was not loaded' }));
    if (!fallback || !canFallBack?.(error)) throw error;
    const name = typeof load.model === 'string' ? load.model : nameOf(load.model);
    const { serverEngine } = await import('./fallback/server-engine.ts');
    const server = await serverEngine(fallback, name, error, signal);
    for (const [adapter, source] of Object.entries(options.adapters ?? {})) await server.adapters.load(adapter, source);
    if (!signal?.aborted) return server;
    await server.dispose();
    throw aborted();
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

/** The engine with its HTTP routes, which are loaded when the first is asked for. */
function served(engine: Omit<Engine, 'fetch'>): Engine {
  return {
    ...engine,
    fetch: async (input, init) => (await import('./http/serve.ts')).serve(engine, new Request(input, init)),
  };
}

/** What a model is called whose files were given. */
function nameOf([first]: readonly ModelFile[]): string {
  return first && 'name' in first ? first.name : 'model';
}

function tell(listeners: Listeners, message: WorkerEvent): void {
  if (message.type === 'progress') listeners.tell('progress', message.event);
  else if (message.type === 'plan') listeners.tell('plan', message.event);
  else if (message.type === 'kv') listeners.tell('kv', message.event);
  else if (message.type === 'memory') listeners.tell('memory', message.event);
  else listeners.tell('devicelost', message.event);
}

type Methods = Omit<Engine, 'model' | 'contextLength' | 'device' | 'answeredBy' | 'fetch'>;

function methods(answerer: Answerer): Methods {
  const { client, listeners, model, traits } = answerer;
  return {
    ...completions(answerer),
    embeddings: {
      create: async (request, call) => (await import('./embeddings.ts')).embed(client, model, request, parseCall(call)),
    },
    rerank: async (request, call) => (await import('./rerank.ts')).rerank(client, model, request, parseCall(call)),
    adapters: {
      load: async (name, source) =>
        client.loadAdapter(
          parseName(name),
          checked('source', () => parseAdapterSource(source, baseUrl())),
        ),
      unload: async (name) => client.unloadAdapter(parseName(name)),
      list: () => client.adapters(),
    },
    saveCache: async (name) => client.saveCache(parseCacheName(name)),
    loadCache: async (name) => client.loadCache(parseCacheName(name)),
    cache: {
      list: () => client.stored(),
      delete: async (name, kind) => client.deleteStored(parseName(name), parseStoredKind(kind)),
      size: async () => (await client.stored()).reduce((sum, { bytes }) => sum + bytes, 0),
    },
    memory: () => client.memory(),
    measureDevice: async (options) => (await import('./measure-device.ts')).measureDevice(client, options),
    countTokens: async (messages) =>
      client.countTokens(
        asShown(
          checked('messages', () => parseMessages(messages)),
          traits,
        ),
      ),
    on: (event, fn) => listeners.add(event, fn),
    dispose: () => client.dispose(),
  };
}
