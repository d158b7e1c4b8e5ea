import type { MemoryReport } from '../src/gpu/buffers.ts';
import { checkModel } from '../src/session/open-session.ts';
import { LocalEngine } from '../src/engine/engine.ts';
import { openAnyEngine, checkDraftModel } from '../src/engine/open-engine.ts';
import type { AdapterInfo, EngineCore, EngineCoreOptions } from '../src/engine/types.ts';
import type { LoadProgress } from '../src/session/session-options.ts';
import type { TuningStore } from '../src/gpu/autotuner.ts';
import type { Wait } from '../src/gpu/device.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import { deviceEvents, type DeviceMeasureOptions } from '../src/measure/measure-device.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import { openModelFile } from '../src/weights/open-model-file.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import {
  type libraryFiles,
  type openAdapter,
  type OpenedAdapter,
  readDefinition,
  storedName,
} from './adapter-files.ts';
import { cacheStore } from '../src/storage/cache-store.ts';
import { deleteModel, listModels } from '../src/storage/model-files.ts';
import { PHONE_LIMITS } from '../src/gpu/submissions.ts';
import { APPLE_PHONE_GIB, modelBudget } from './browser-device.ts';
import { type openModel, whenRefused, withRate } from './model-store.ts';
import { serveStream } from './wire.ts';
import type {
  ConfirmLoad,
  EngineInfo,
  LoadOptions,
  WorkerEvent,
  EngineCalls,
  EngineService,
  MethodName,
} from './protocol.ts';

/** The platform that an engine runs on: a worker in a browser, or Node. */
export interface EngineHost {
  /** Throws `no_webgpu`. */
  gpu(): GPU | Promise<GPU>;
  /** Rough memory of the device; undefined if the platform does not report it. */
  memoryGib: number | undefined;
  /** The host, which compiles the kernels: a browser's user agent, or Node. */
  name: string;
  openModel: typeof openModel;
  openAdapter: typeof openAdapter;
  libraryFiles: typeof libraryFiles;
  tuning: TuningStore;
  wait?: Wait;
}

/** Work that other threads do for an engine. */
export type EngineHelp = Pick<EngineCoreOptions, 'buildLadders' | 'openGrammars' | 'plans'>;

/** An engine that is not yet loaded, and the calls that it answers once it is. */
export interface HostedEngine extends EngineCalls {
  load(
    options: LoadOptions,
    onEvent: (event: WorkerEvent) => void,
    help: EngineHelp,
    confirm: ConfirmLoad | undefined,
  ): Promise<EngineInfo>;
  dispose(): void;
}

/** The methods that the host adds to those of the engine's core. */
type OwnMethods = Omit<EngineService, keyof EngineCore> & Pick<EngineService, 'loadAdapter' | 'dispose'>;

/** Opens once; a failure is forgotten. */
function once<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined;
  return () =>
    (opened ??= open().catch((error: unknown) => {
      opened = undefined;
      throw error;
    }));
}

export function hostEngine(host: EngineHost): HostedEngine {
  let core: EngineCore | undefined;
  /** Inputs for measuring the device, besides the engine. */
  let measuring: Omit<DeviceMeasureOptions, 'budgetMs' | 'signal' | 'onProgress'> | undefined;
  let hubOptions: HubOptions = {};
  /** By adapter; those of adapters that were unloaded stay unused. */
  const definitions = new Map<string, OpenedAdapter['openDefinition']>();
  let confirmLoad: ConfirmLoad | undefined;
  let tell: (event: WorkerEvent) => void = () => undefined;
  let toldMemory: MemoryReport | undefined;

  function engine(): EngineCore {
    if (core === undefined) throw new ChunkwiseError('disposed', { reason: 'the engine is not loaded' });
    return core;
  }

  function tellMemory(): void {
    const now = core?.memory();
    if (now === undefined || now.total === toldMemory?.total) return;
    toldMemory = now;
    tell({ type: 'memory', event: now });
  }

  const own: OwnMethods = {
    generate(id, prompt, options) {
      const request = {
        ...options,
        onPlan: (event) => tell({ type: 'plan', event: { id, ...event } }),
        onKv: (map) => {
          tell({ type: 'kv', event: { id, ...map } });
          tellMemory(); // a prefill yields no tokens that would
        },
      } satisfies Parameters<EngineCore['complete']>[1];
      if ('text' in prompt) return engine().complete(prompt.text, request);
      const { messages, tools, documents } = prompt;
      return engine().chat(messages, { ...request, tools, documents });
    },

    measureDevice(options) {
      const loaded = engine();
      if (!(loaded instanceof LocalEngine))
        throw new ChunkwiseError('unsupported', {
          field: 'model',
          reason: 'measuring a device needs a model that generates text, and an encoder is loaded',
        });
      if (!measuring) throw new Error('a loaded engine knows how to measure its device');
      return deviceEvents(loaded, { ...measuring, ...options });
    },

    async loadAdapter(name, files) {
      const refused = await whenRefused(storedName(files));
      const load = async (): Promise<AdapterInfo> => {
        const { source, openDefinition } = await host.openAdapter(files, hubOptions, confirmLoad);
        const info = await engine().loadAdapter(name, source);
        definitions.set(name, once(openDefinition));
        return info;
      };
      return load().catch(refused);
    },

    async functionFile(adapter) {
      if (
        !engine()
          .adapters()
          .some(({ name }) => name === adapter)
      )
        return undefined;
      const source = await definitions.get(adapter)?.();
      return source && readDefinition(source);
    },

    libraryFiles: (place) => host.libraryFiles(place, hubOptions),

    saveCache: (name) => engine().savedCaches.save(name),
    loadCache: (name) => engine().savedCaches.load(name),

    async stored() {
      const texts = await engine().savedCaches.list();
      return [...(await listModels()), ...texts.map((text) => ({ kind: 'text' as const, ...text }))];
    },

    async deleteStored(name, kind) {
      const isText = kind === undefined && (await cacheStore.list()).some((text) => text.name === name);
      if (kind === 'text' || isText || (await deleteModel(name)) === false) await engine().savedCaches.delete(name);
    },

    dispose() {
      core?.dispose();
      core = undefined;
    },
  };

  function run(name: MethodName, args: readonly unknown[]): unknown {
    const target = (Object.hasOwn(own, name) ? own : engine()) as unknown as Record<
      string,
      (...args: unknown[]) => unknown
    >;
    return target[name]?.(...args);
  }

  return {
    async load({ model, draftModel, hub, isApplePhone = false, ...options }, onEvent, help, confirm) {
      tell = onEvent;
      confirmLoad = confirm;
      // First of all: an insecure context lacks both WebGPU and storage, and the error should name WebGPU.
      const gpu = await host.gpu();
      const { tuning, wait } = host;
      const onProgress = withRate((event: LoadProgress): void => tell({ type: 'progress', event }));
      const check = (remote: readonly ByteSource[]) => checkModel(remote, { gpu, ...options });
      hubOptions = hub;
      const budgetBytes =
        options.memoryLimitBytes ?? modelBudget(host.memoryGib ?? (isApplePhone ? APPLE_PHONE_GIB : undefined));
      const refused = await whenRefused(model);
      const refusedDraft = await whenRefused(draftModel);
      const sources = await host.openModel(model, { hub, budgetBytes, onProgress, check, confirm }).catch(refused);
      const checkDraft = async (remote: readonly ByteSource[]) => {
        await checkDraftModel(remote, await openModelFile(sources));
        return checkModel(remote, { gpu, ...options, contextLength: undefined });
      };
      const draftSources =
        draftModel === undefined
          ? undefined
          : await host
              .openModel(draftModel, { hub, budgetBytes, onProgress, check: checkDraft, confirm })
              .catch(refusedDraft);
      core = await openAnyEngine({
        gpu,
        sources,
        draftModel: draftSources,
        ...options,
        ...help,
        savedCaches: cacheStore,
        tuning,
        wait,
        submissions: isApplePhone ? PHONE_LIMITS : undefined,
        onProgress,
        onDeviceLost: (reason) => tell({ type: 'devicelost', event: { reason } }),
      }).catch((error: unknown) => {
        const file = error instanceof ChunkwiseError && error.detail.file;
        return draftSources?.some(({ name }) => name === file) ? refusedDraft(error) : refused(error);
      });
      const { gpuAdapter, autotunes } = options;
      measuring = { gpu, sources, gpuAdapter, autotunes, tuning, host: host.name, memoryLimitBytes: budgetBytes };
      tellMemory();
      const { model: name, contextLength, device, chatTraits } = core;
      return { model: name, contextLength, device, chatTraits };
    },

    async call(name, args) {
      const result = await run(name, args);
      tellMemory();
      return result;
    },

    stream(port, name, args) {
      const open = (signal: AbortSignal): AsyncIterable<unknown> =>
        run(name, [...args.slice(0, -1), { ...(args.at(-1) as object), signal }]) as AsyncIterable<unknown>;
      void serveStream(port, open, { onItem: tellMemory }).finally(tellMemory);
    },

    dispose: () => own.dispose(),
  };
}
