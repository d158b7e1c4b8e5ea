import type { ConfirmLoad, LoadOptions, WorkerEvent } from '../../workers/protocol.ts';
import { isRecord } from '../config/is-record.ts';
import { abortError } from '../errors/abort-error.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { parseMessages } from './chat/messages.ts';
import { asShown } from './chat/written-calls.ts';
import { checkFunction, checkSignal, checked, describe, refuse } from './checks.ts';
import { type Answerer, completions } from './completions.ts';
import { EngineClient } from './engine-client.ts';
import { Listeners } from './listeners.ts';
import {
  namesOfStored,
  parseAdapterSource,
  parseAdapterSources,
  parseCacheName,
  parseCall,
  parseEngineOptions,
  parseName,
  parseStoredKind,
} from './options.ts';
import type { Platform } from './platform.ts';
import { type LoadedEngine, reloadable } from './reloadable.ts';
import { parseDefaults } from './request-defaults.ts';
import type { Engine, EngineOptions, ModelFile, RequestDefaults } from './types.ts';

/** See `createEngine`. */
export async function openEngine(options: EngineOptions, platform: Platform): Promise<Engine> {
  const { onProgress, lasting, ...parsed } = parseOptions(options, platform);
  const listeners = new Listeners();
  if (onProgress) listeners.add('progress', onProgress);
  const loaded = await loadEngine(parsed, platform, listeners);
  return reloadable(loaded, listeners, (model, given = {}) => {
    if (!isRecord(given)) refuse('options', `must be an object, but is ${describe(given)}`);
    const again = parseOptions({ ...lasting, ...given, model }, platform);
    return async (ended) => {
      const remove = again.onProgress && listeners.add('progress', again.onProgress);
      const signal = again.signal ? AbortSignal.any([ended, again.signal]) : ended;
      return loadEngine({ ...again, signal }, platform, listeners).finally(remove);
    };
  });
}

interface ParsedOptions {
  load: LoadOptions;
  wantedFallback: EngineOptions['fallback'];
  defaults: RequestDefaults;
  adapters: ReturnType<typeof parseAdapterSources>;
  confirm: ConfirmLoad | undefined;
  onProgress?: EngineOptions['onProgress'];
  signal: AbortSignal | undefined;
}

function parseOptions(options: EngineOptions, { toUrl }: Platform) {
  return checked('options', () => ({
    load: parseEngineOptions(options, toUrl),
    wantedFallback: options.fallback,
    defaults: parseDefaults(options),
    adapters: parseAdapterSources(options.adapters, toUrl),
    confirm: checkFunction(options.confirmLoad, 'confirmLoad'),
    onProgress: checkFunction(options.onProgress, 'onProgress'),
    signal: checkSignal(options.signal),
    lasting: lastingOf(options),
  }));
}

/** What holds for the models after this one, too. */
const lastingOf = ({
  model: _model,
  draftModel: _draftModel,
  adapters: _adapters,
  onProgress: _onProgress,
  signal: _signal,
  ...lasting
}: EngineOptions): Omit<EngineOptions, 'model'> => lasting;

/** Whatever is waited for, the engine's code among it, an abort does not wait: what is open by then is closed meanwhile. */
async function loadEngine(options: ParsedOptions, platform: Platform, listeners: Listeners): Promise<LoadedEngine> {
  const { signal } = options;
  const opening = open(options, platform, listeners);
  if (!signal) return opening;
  return new Promise<LoadedEngine>((resolve, reject) => {
    const onAbort = (): void => reject(aborted(signal));
    signal.addEventListener('abort', onAbort);
    void opening.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

const aborted = (signal: AbortSignal): ChunkwiseError => abortError(signal, 'the loading');

async function open(
  { load, wantedFallback, defaults, adapters, confirm, signal }: ParsedOptions,
  platform: Platform,
  listeners: Listeners,
): Promise<LoadedEngine> {
  const { parseFallback, canFallBack } =
    wantedFallback === undefined ? {} : await import('./fallback/parse-fallback.ts');
  const fallback = parseFallback && checked('options', () => parseFallback(wantedFallback, platform.toUrl));
  if (signal?.aborted) throw aborted(signal);
  if (typeof load.model === 'string') platform.persist();
  const client = await EngineClient.start(platform.startEngine);
  const onAbort = (): void => client.end(aborted(signal as AbortSignal));
  if (signal?.aborted) onAbort(); // meanwhile
  signal?.addEventListener('abort', onAbort);
  try {
    const { chat: traits, ...info } = await client.load(load, (event) => tell(listeners, event), confirm);
    for (const [name, files] of adapters) await client.loadAdapter(name, files);
    return served({
      ...info,
      answeredBy: 'device',
      ...methods({ client, listeners, model: info.model, traits, defaults }, platform),
    });
  } catch (error) {
    client.end(new ChunkwiseError('disposed', { reason: 'the model was not loaded' }));
    if (!fallback || !canFallBack?.(error)) throw error;
    const name = typeof load.model === 'string' ? load.model : nameOf(load.model);
    const { serverEngine } = await import('./fallback/server-engine.ts');
    const server = await serverEngine(fallback, name, error, signal);
    for (const [adapter] of adapters) await server.adapters.load(adapter, adapter);
    if (!signal?.aborted) return server;
    await server.dispose();
    throw aborted(signal);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

/** The engine with its HTTP routes, which are loaded when the first is asked for. */
function served(engine: Omit<LoadedEngine, 'fetch'>): LoadedEngine {
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

type Methods = Omit<LoadedEngine, 'model' | 'contextLength' | 'device' | 'answeredBy' | 'fetch'>;

function methods(answerer: Answerer, { toUrl }: Platform): Methods {
  const { client, model, traits } = answerer;
  return {
    ...completions(answerer),
    embeddings: {
      create: async (request, call) => (await import('./embeddings.ts')).embed(client, model, request, parseCall(call)),
    },
    rerank: async (request, call) => (await import('./rerank.ts')).rerank(client, model, request, parseCall(call)),
    decisions: {
      create: async (request, call) =>
        (await import('./decisions/decide.ts')).decide(client, model, request, parseCall(call)),
      calibrate: async (request, call) =>
        (await import('./decisions/calibrate.ts')).calibrate(client, request, parseCall(call)),
    },
    adapters: {
      load: async (name, source) =>
        client.loadAdapter(
          parseName(name),
          checked('source', () => parseAdapterSource(source, toUrl)),
        ),
      unload: async (name) => client.unloadAdapter(parseName(name)),
      list: () => client.adapters(),
    },
    saveCache: async (name) => client.saveCache(parseCacheName(name)),
    loadCache: async (name) => client.loadCache(parseCacheName(name)),
    cache: {
      list: () => client.stored(),
      delete: async (name, kind) => {
        const names = namesOfStored(parseName(name), toUrl);
        const known = parseStoredKind(kind);
        const stored = new Set((await client.stored()).map((entry) => entry.name));
        return client.deleteStored(names.find((each) => stored.has(each)) ?? name, known);
      },
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
    dispose: () => client.dispose(),
  };
}
