import { fileURLToPath } from 'node:url';
import { totalmem } from 'node:os';
import { openAdapter as openStoredAdapter } from '../../workers/adapter-files.ts';
import { askFirst } from '../../workers/ask-first.ts';
import { type EngineHost, hostEngine } from '../../workers/engine-host.ts';
import { openModel as openStoredModel } from '../../workers/model-store.ts';
import type { StartEngine } from '../api/engine-thread.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { ladderStore } from '../storage/ladder-store.ts';
import { isFileUrl } from './file-url.ts';
import { napping, openGpu } from './gpu.ts';
import { laddersHere } from './ladders-here.ts';
import { closeAll, openSources } from './model-files.ts';
import { openAdapter } from './open-adapter.ts';
import { keepOnDisk } from './storage-host.ts';
import { tuningStore } from './tuning-store.ts';
import { openGrammars } from '../grammar/open-grammars.ts';

/** Runs an engine in this thread: a thread of its own would end the process where it is ended while the GPU works. */
export const startInProcess: StartEngine = async () => {
  keepOnDisk();
  /** Are open until the engine's end. */
  const opened: { close: () => Promise<void> }[] = [];
  const engine = hostEngine(hostOf(opened));
  let isOver = false;
  const close = (): Promise<void> => {
    engine.dispose();
    return closeAll(opened.splice(0));
  };
  const unlessOver = (): void => {
    if (isOver) throw new ChunkwiseError('disposed', { reason: 'the engine was ended while it was loaded' });
  };
  return {
    calls: {
      generate: async (port, ...asked) => engine.generate(port, ...structuredClone(asked)),
      embed: async (port, ...asked) => engine.embed(port, ...structuredClone(asked)),
      rerank: async (port, ...asked) => engine.rerank(port, ...structuredClone(asked)),
      scoreLabels: async (port, ...asked) => engine.scoreLabels(port, ...structuredClone(asked)),
      measureDevice: async (port, ...asked) => engine.measureDevice(port, ...asked),
      loadAdapter: (...asked) => engine.loadAdapter(...asked),
      unloadAdapter: async (...asked) => engine.unloadAdapter(...asked),
      adapters: async () => structuredClone(engine.adapters()),
      saveCache: (...asked) => engine.saveCache(...asked),
      loadCache: (...asked) => engine.loadCache(...asked),
      stored: () => engine.stored(),
      deleteStored: (...asked) => engine.deleteStored(...asked),
      countTokens: async (...asked) => engine.countTokens(...asked),
      memory: async () => ({ ...engine.memory() }),
      dispose: async () => engine.dispose(),
    },

    async load(options, onEvent, confirm) {
      const tell: typeof onEvent = (event) => {
        unlessOver(); // a loading that is given up ends where it tells how far it is
        onEvent(event);
      };
      try {
        const info = await engine.load(options, tell, HELP, confirm);
        unlessOver();
        return info;
      } finally {
        if (isOver) await close();
      }
    },

    end() {
      isOver = true;
      void close();
    },
  };
};

const HELP = {
  buildLadders: laddersHere(ladderStore),
  openGrammars,
};

const hostOf = (opened: { close: () => Promise<void> }[]): EngineHost => ({
  gpu: openGpu,
  memoryGib: totalmem() / 2 ** 30,
  name: `Node ${process.version}`,
  tuning: tuningStore(),
  wait: napping,

  async openModel(model, options) {
    if (typeof model !== 'string' || !isFileUrl(model)) return openStoredModel(model, options);
    const sources = await openSources(fileURLToPath(model), 'model');
    opened.push(...sources);
    await askFirst({ kind: 'model', name: sources[0]?.name ?? '' }, options.confirm, async () =>
      sources.map((source) => ({ source })),
    );
    return sources;
  },

  async openAdapter(files, hub, confirm) {
    const path = localAdapter(files);
    if (path === undefined) return openStoredAdapter(files, hub, confirm);
    const { source, close } = await openAdapter(path);
    opened.push({ close });
    const sources = Object.values(source).map((file) => ({ source: file }));
    await askFirst({ kind: 'adapter', name: path }, confirm, async () => sources);
    return source;
  },
});

/** Undefined where the adapter does not lie on this disk. */
function localAdapter(files: Parameters<EngineHost['openAdapter']>[0]): string | undefined {
  if ('gguf' in files) return isFileUrl(files.gguf) ? fileURLToPath(files.gguf) : undefined;
  return 'folder' in files && isFileUrl(files.folder) ? fileURLToPath(files.folder) : undefined;
}
