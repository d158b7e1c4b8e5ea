import type { ConfirmLoad, LoadOptions } from '../../workers/protocol.ts';
import { abortError, ChunkwiseError } from '../errors/chunkwise-error.ts';
import { asShown, parseDocumentList, parseMessages } from './chat/parse-chat.ts';
import { checkFunction, checkSignal, checked, checkRecord } from './checks.ts';
import { type Answerer, completions } from './completions.ts';
import { EngineClient, orAbort } from './engine-client.ts';
import { Listeners } from './events.ts';
import { namesOfStored, parseCacheName, parseName, parseStoredKind } from './names.ts';
import { parseEngineOptions } from './options.ts';
import { parseAdapterSource, parseAdapterSources } from './adapters.ts';
import type { Platform } from './platform.ts';
import type { Functions } from './functions/functions.ts';
import type { LoadedEngine, Engine, EngineOptions, ModelFile } from './engine-types.ts';
import { parseCall, parseChatRequest, parseDefaults, type RequestDefaults } from './requests.ts';

/** See `createEngine`. */
export async function openEngine(options: EngineOptions, platform: Platform): Promise<Engine> {
  const { onProgress, lasting, ...parsed } = parseOptions(options, platform);
  const listeners = new Listeners();
  if (onProgress) listeners.add('progress', onProgress);
  const loaded = await loadEngine(parsed, platform, listeners);
  return reloadable(loaded, listeners, (model, given = {}) => {
    const again = parseOptions({ ...lasting, ...checkRecord(given, 'options'), model }, platform);
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

/** The options that also hold for models loaded later. */
const lastingOf = ({
  model: _model,
  draftModel: _draftModel,
  adapters: _adapters,
  onProgress: _onProgress,
  signal: _signal,
  ...lasting
}: EngineOptions): Omit<EngineOptions, 'model'> => lasting;

/** Rejects as soon as the signal aborts, even while the engine's code loads; what is open by then is closed in the background. */
async function loadEngine(options: ParsedOptions, platform: Platform, listeners: Listeners): Promise<LoadedEngine> {
  const { signal } = options;
  const opening = open(options, platform, listeners);
  return signal ? orAbort(opening, signal, () => aborted(signal)) : opening;
}

const aborted = (signal: AbortSignal): ChunkwiseError => abortError(signal, 'the loading');

async function open(
  { load, wantedFallback, defaults, adapters, confirm, signal }: ParsedOptions,
  platform: Platform,
  listeners: Listeners,
): Promise<LoadedEngine> {
  const server = wantedFallback === undefined ? undefined : await import('./fallback/server-engine.ts');
  const fallback = server && checked('options', () => server.parseFallback(wantedFallback, platform.toUrl));
  if (signal?.aborted) throw aborted(signal);
  if (typeof load.model === 'string') platform.persist();
  const client = await EngineClient.start(platform.startEngine);
  const onAbort = (): void => client.end(aborted(signal as AbortSignal));
  if (signal?.aborted) onAbort(); // while the thread started
  signal?.addEventListener('abort', onAbort);
  try {
    const { chatTraits: traits, ...info } = await client.load(
      load,
      ({ type, event }) => listeners.tell(type, event),
      confirm,
    );
    for (const [name, files] of adapters) await client.engine.loadAdapter(name, files);
    return served({
      ...info,
      answeredBy: 'device',
      ...methods({ engine: client.engine, listeners, model: info.model, traits, defaults }, load.model, platform),
      dispose: () => client.dispose(),
    });
  } catch (error) {
    client.end(new ChunkwiseError('disposed', { reason: 'the model was not loaded' }));
    if (!server || !fallback || !server.canFallBack(error)) throw error;
    const name = typeof load.model === 'string' ? load.model : nameOf(load.model);
    const standIn = await server.serverEngine(fallback, name, error, signal);
    for (const [adapter] of adapters) await standIn.adapters.load(adapter, adapter);
    if (!signal?.aborted) return standIn;
    await standIn.dispose();
    throw aborted(signal);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

/** Adds the HTTP routes, whose code loads with the first request. */
function served(engine: Omit<LoadedEngine, 'fetch'>): LoadedEngine {
  return {
    ...engine,
    fetch: async (input, init) => (await import('./http/serve.ts')).serve(engine, new Request(input, init)),
  };
}

/** The name of a model that was given as files. */
function nameOf([first]: readonly ModelFile[]): string {
  return first && 'name' in first ? first.name : 'model';
}

type Methods = Omit<LoadedEngine, 'model' | 'contextLength' | 'device' | 'answeredBy' | 'fetch' | 'dispose'>;

/** The methods of an engine on this device: each checks what the caller passes and calls the engine. */
function methods(answerer: Answerer, given: unknown, { toUrl }: Platform): Methods {
  const { engine, model, traits } = answerer;
  const answers = completions(answerer);
  let opened: Promise<Functions> | undefined;
  const functions = (): Promise<Functions> =>
    (opened ??= import('./functions/functions.ts').then(
      (code) =>
        new code.Functions({
          engine,
          names: [model, given],
          chat: (request, call) => answers.chat.completions.create(request, call),
          parse: {
            messages: parseMessages,
            documents: parseDocumentList,
            adapter: (source) => parseAdapterSource(source, toUrl),
            chat: (request) => parseChatRequest(request, traits),
          },
        }),
    ));
  return {
    ...answers,
    embeddings: {
      create: async (request, call) => (await import('./embeddings.ts')).embed(engine, model, request, parseCall(call)),
    },
    rerank: async (request, call) => (await import('./rerank.ts')).rerank(engine, model, request, parseCall(call)),
    decisions: {
      create: async (request, call) =>
        (await import('./decisions/decide.ts')).decide(engine, model, request, parseCall(call)),
      calibrate: async (request, call) =>
        (await import('./decisions/calibrate.ts')).calibrate(engine, request, parseCall(call)),
    },
    adapters: {
      load: async (name, source) =>
        engine.loadAdapter(
          parseName(name),
          checked('source', () => parseAdapterSource(source, toUrl)),
        ),
      unload: async (name) => engine.unloadAdapter(parseName(name)),
      list: () => engine.adapters(),
      library: async (source, options) => (await functions()).library(source, options),
    },
    functions: {
      list: async () => (await functions()).list(),
      call: async (name, request, call) => (await functions()).call(name, request, call) as Promise<never>,
    },
    saveCache: async (name) => engine.saveCache(parseCacheName(name)),
    loadCache: async (name) => engine.loadCache(parseCacheName(name)),
    cache: {
      list: () => engine.stored(),
      delete: async (name, kind) => {
        const names = namesOfStored(parseName(name), toUrl);
        const known = parseStoredKind(kind);
        const stored = new Set((await engine.stored()).map((entry) => entry.name));
        return engine.deleteStored(names.find((each) => stored.has(each)) ?? name, known);
      },
      size: async () => (await engine.stored()).reduce((sum, { bytes }) => sum + bytes, 0),
    },
    memory: () => engine.memory(),
    measureDevice: async (options) => (await import('./measure-device.ts')).measureDevice(engine, options),
    countTokens: async (messages) =>
      engine.countTokens(
        asShown(
          checked('messages', () => parseMessages(messages)),
          traits,
        ),
      ),
  };
}

/** Checks the arguments of `reload`. The returned function loads the model, and stops when its signal aborts. */
type Reopen = (...given: Parameters<Engine['reload']>) => (signal: AbortSignal) => Promise<LoadedEngine>;

/** An engine whose model `reload` replaces. All members come from the engine that is loaded at the time. */
function reloadable(loaded: LoadedEngine, listeners: Listeners, reopen: Reopen): Engine {
  let loading = new AbortController();
  let isDisposed = false;
  const disposed = (): ChunkwiseError => new ChunkwiseError('disposed', { reason: 'the engine was disposed' });
  const dispose = async (): Promise<void> => {
    isDisposed = true;
    loading.abort(disposed());
    await loaded.dispose();
  };
  const current = (name: string): unknown => loaded[name as keyof LoadedEngine];
  const forwarded = Object.entries(loaded).map(([name, member]): [string, PropertyDescriptor] => [
    name,
    typeof member === 'function'
      ? {
          enumerable: true,
          value: (...asked: unknown[]) => (current(name) as (...all: unknown[]) => unknown)(...asked),
        }
      : { enumerable: true, get: () => current(name) },
  ]);
  const reloading: Pick<Engine, 'on' | 'reload'> = {
    on: (event, fn) => listeners.add(event, fn),

    async reload(...given) {
      if (isDisposed) throw disposed();
      const load = reopen(...given);
      loading.abort(new Error('another model is loaded in its place'));
      const { signal } = (loading = new AbortController());
      // The next model needs the memory of this one.
      await loaded.dispose();
      const next = await load(signal);
      if (signal.aborted) {
        await next.dispose();
        throw aborted(signal);
      }
      loaded = next;
    },
  };
  const own = {
    ...reloading,
    // Some browsers lack the symbol.
    ...(Symbol.asyncDispose && { [Symbol.asyncDispose]: dispose }),
  };
  return Object.defineProperties(own, {
    ...Object.fromEntries(forwarded),
    dispose: { enumerable: true, value: dispose },
  }) as Engine;
}
