/** Owns the GPU and hosts the engine. */
import { expose } from 'comlink';
import type { KvMap } from '../src/cache/kv-map.ts';
import type { MemoryReport } from '../src/config/memory-report.ts';
import { checkModel } from '../src/session/check-model.ts';
import { LocalEngine } from '../src/engine/open-engine.ts';
import { openAnyEngine } from '../src/engine/open-model.ts';
import { checkDraftModel } from '../src/engine/open-session-with-drafts.ts';
import type { EngineCore, LoadProgress, PlanEvent } from '../src/engine/types.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import { deviceEvents } from '../src/measure/device/device-events.ts';
import type { DeviceMeasureOptions } from '../src/measure/device/measure-device.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import { openModelFile } from '../src/weights/open-model-file.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { laddersIn, openAdapter } from './adapter-files.ts';
import { cacheStore } from '../src/storage/cache-store.ts';
import { xgrammarFrom } from './grammar-library.ts';
import { holdLock } from './locks.ts';
import { deleteModel, listModels } from '../src/storage/model-files.ts';
import { openModel } from './model-store.ts';
import { withRate } from './progress-rate.ts';
import { serveStream } from './port-stream.ts';
import { tuningStore } from '../src/storage/tuning-store.ts';
import type { ConfirmLoad, EngineWorker, WorkerEvent } from './protocol.ts';
import { SchedulerPlans, startScheduler } from './scheduler-plans.ts';
import { carryErrors } from './wire-error.ts';

/** Most of a device's memory that a file chosen among several may take, and the memory where the browser does not tell. */
const MODEL_SHARE = 0.25;
const DEFAULT_MEMORY_GIB = 4;

declare global {
  interface WorkerNavigator {
    /** GiB, roughly. Not in every browser. */
    readonly deviceMemory?: number;
  }
  interface Navigator {
    readonly deviceMemory?: number;
  }
}

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

const worker: EngineWorker = {
  hold: async (lock) => void (await holdLock(navigator.locks, lock)),

  async load({ model, draftModel, hub, ...options }, onEvent, startThread, grammarLibrary, confirm) {
    tell = onEvent;
    confirmLoad = confirm;
    // Before anything else: where WebGPU is missing for want of a secure context, so are the storage's interfaces.
    const gpu = navigator.gpu as GPU | undefined;
    if (gpu === undefined) {
      const reason = isSecureContext ? 'this browser has none' : 'WebGPU needs a secure page: https, or localhost';
      throw new ChunkwiseError('no_webgpu', { reason });
    }
    const onProgress = withRate((event: LoadProgress): void => tell({ type: 'progress', event }));
    const check = (remote: readonly ByteSource[]) => checkModel(remote, { gpu, ...options });
    hubOptions = hub;
    const budgetBytes =
      options.memoryLimitBytes ?? (navigator.deviceMemory ?? DEFAULT_MEMORY_GIB) * MODEL_SHARE * 2 ** 30;
    const sources = await openModel(model, { hub, budgetBytes, onProgress, check, confirm });
    const checkDraft = async (remote: readonly ByteSource[]) => {
      await checkDraftModel(remote, await openModelFile(sources));
      return checkModel(remote, { gpu, ...options, contextLength: undefined });
    };
    const draftSources =
      draftModel === undefined
        ? undefined
        : await openModel(draftModel, { hub, budgetBytes, onProgress, check: checkDraft, confirm });
    const opened = await openAnyEngine({
      gpu,
      sources,
      draftModel: draftSources,
      ...options,
      buildLadders: laddersIn(startThread),
      loadXgrammar: xgrammarFrom(grammarLibrary),
      savedCaches: cacheStore,
      tuning: tuningStore,
      plans: new SchedulerPlans(() => startScheduler(startThread)),
      onProgress,
      onDeviceLost: (reason) => tell({ type: 'devicelost', event: { reason } }),
    });
    core = opened;
    const { gpuAdapter, autotunes } = options;
    measuring = {
      gpu,
      sources,
      gpuAdapter,
      autotunes,
      tuning: tuningStore,
      host: navigator.userAgent,
      memoryLimitBytes: budgetBytes,
    };
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
    const info = await engine().loadAdapter(name, await openAdapter(files, hubOptions, confirmLoad));
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

carryErrors();
expose(worker);
