import type { KvMap } from '../src/cache/kv-map.ts';
import type { MemoryReport } from '../src/config/memory-report.ts';
import { checkModel } from '../src/session/check-model.ts';
import { LocalEngine } from '../src/engine/open-engine.ts';
import { openAnyEngine } from '../src/engine/open-model.ts';
import { checkDraftModel } from '../src/engine/open-session-with-drafts.ts';
import type { EngineCore, EngineCoreOptions, LoadProgress, PlanEvent } from '../src/engine/types.ts';
import type { TuningStore } from '../src/gpu/autotuner.ts';
import type { Wait } from '../src/gpu/wait.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import { deviceEvents } from '../src/measure/device/device-events.ts';
import type { DeviceMeasureOptions } from '../src/measure/device/measure-device.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import { openModelFile } from '../src/weights/open-model-file.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { type openAdapter, storedName } from './adapter-files.ts';
import { cacheStore } from '../src/storage/cache-store.ts';
import { deleteModel, listModels } from '../src/storage/model-files.ts';
import { PHONE_LIMITS } from '../src/gpu/submission-limits.ts';
import { APPLE_PHONE_GIB } from './apple-phones.ts';
import { modelBudget } from './model-budget.ts';
import { type openModel, whenRefused } from './model-store.ts';
import { withRate } from './progress-rate.ts';
import { serveStream } from './port-stream.ts';
import type { ConfirmLoad, EngineInfo, EngineWorker, LoadOptions, WorkerEvent } from './protocol.ts';

/** What an engine's worker stands on, or what stands in for it in Node. */
export interface EngineHost {
  /** Throws `no_webgpu`. */
  gpu(): GPU | Promise<GPU>;
  /** Of the device, roughly; undefined where that is not told. */
  memoryGib: number | undefined;
  /** What compiles the kernels. */
  name: string;
  openModel: typeof openModel;
  openAdapter: typeof openAdapter;
  tuning: TuningStore;
  wait?: Wait;
}

/** What threads beside it, and the page, do for an engine. */
export type EngineHelp = Pick<EngineCoreOptions, 'buildLadders' | 'openGrammars' | 'plans'>;

/** The calls of an engine's worker, but for what belongs to a thread. */
export interface HostedEngine extends Omit<EngineWorker, 'hold' | 'load'> {
  load(
    options: LoadOptions,
    onEvent: (event: WorkerEvent) => void,
    help: EngineHelp,
    confirm: ConfirmLoad | undefined,
  ): Promise<EngineInfo>;
}

export function hostEngine(host: EngineHost): HostedEngine {
  let core: EngineCore | undefined;
  /** What a model's device is measured with, beside the engine. */
  let measuring: Omit<DeviceMeasureOptions, 'budgetMs' | 'signal' | 'onProgress'> | undefined;
  let hubOptions: HubOptions = {};
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

  async function* watchMemory<T>(events: AsyncIterable<T>): AsyncGenerator<T, void> {
    try {
      for await (const event of events) {
        tellMemory();
        yield event;
      }
    } finally {
      tellMemory();
    }
  }

  return {
    async load({ model, draftModel, hub, isApplePhone = false, ...options }, onEvent, help, confirm) {
      tell = onEvent;
      confirmLoad = confirm;
      // Before anything else: where WebGPU is missing for want of a secure context, so are the storage's interfaces.
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
      const opened = await openAnyEngine({
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
      core = opened;
      const { gpuAdapter, autotunes } = options;
      measuring = { gpu, sources, gpuAdapter, autotunes, tuning, host: host.name, memoryLimitBytes: budgetBytes };
      tellMemory();
      const { model: name, contextLength, device, chatTraits } = opened;
      return { model: name, contextLength, device, chat: chatTraits };
    },

    generate(port, id, prompt, options) {
      void serveStream(port, (signal) => {
        const onPlan = (event: PlanEvent): void => tell({ type: 'plan', event: { id, ...event } });
        const onKv = (map: KvMap): void => {
          tell({ type: 'kv', event: { id, ...map } });
          tellMemory(); // during a prompt no token tells
        };
        const request = { ...options, onPlan, onKv, signal };
        if ('text' in prompt) return watchMemory(engine().complete(prompt.text, request));
        return watchMemory(engine().chat(prompt.messages, { ...request, tools: prompt.tools }));
      });
    },

    embed(port, inputs, options) {
      void serveStream(port, (signal) => engine().embed(inputs, { ...options, signal }));
    },

    rerank(port, query, documents) {
      void serveStream(port, (signal) => engine().rerank(query, documents, { signal }));
    },

    scoreLabels(port, messages, reads) {
      void serveStream(port, (signal) => watchMemory(engine().scoreLabels(messages, reads, { signal })));
    },

    measureDevice(port, { budgetMs }) {
      void serveStream(port, (signal) => {
        const loaded = engine();
        if (!(loaded instanceof LocalEngine))
          throw new ChunkwiseError('unsupported', {
            field: 'model',
            reason: 'a device is measured with a model that answers, and an encoder is loaded',
          });
        if (!measuring) throw new Error('loaded, but not to be measured');
        return watchMemory(deviceEvents(loaded, { ...measuring, budgetMs, signal }));
      });
    },

    async loadAdapter(name, files) {
      const refused = await whenRefused(storedName(files));
      const opened = host.openAdapter(files, hubOptions, confirmLoad);
      const info = await opened.then((source) => engine().loadAdapter(name, source)).catch(refused);
      tellMemory();
      return info;
    },

    unloadAdapter(name) {
      engine().unloadAdapter(name);
      tellMemory();
    },

    adapters: () => engine().adapters(),

    saveCache: (name) => engine().savedCaches.save(name),

    async loadCache(name) {
      const loaded = await engine().savedCaches.load(name);
      tellMemory();
      return loaded;
    },

    async stored() {
      const texts = await engine().savedCaches.list();
      return [...(await listModels()), ...texts.map((text) => ({ kind: 'text' as const, ...text }))];
    },

    async deleteStored(name, kind) {
      const isText = kind === undefined && (await cacheStore.list()).some((text) => text.name === name);
      if (kind === 'text' || isText || (await deleteModel(name)) === false) await engine().savedCaches.delete(name);
    },

    countTokens: (messages) => engine().countTokens(messages),

    memory: () => engine().memory(),

    dispose() {
      core?.dispose();
      core = undefined;
    },
  };
}
