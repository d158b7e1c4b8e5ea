import { fileURLToPath } from 'node:url';
import { totalmem } from 'node:os';
import { libraryFiles as filesOnHub, openAdapter as openStoredAdapter } from '../../workers/adapter-files.ts';
import { askFirst, openModel as openStoredModel } from '../../workers/model-store.ts';
import { type EngineHost, hostEngine } from '../../workers/engine-host.ts';
import type { StartEngine } from '../api/platform.ts';
import { inlinePlans } from '../engine/plan-service.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { ladderStore } from '../storage/result-stores.ts';
import { closeAll, isFileUrl, openSources } from './model-files.ts';
import { napping, openGpu } from './gpu.ts';
import { filesIn, laddersHere, openAdapter } from './open-adapter.ts';
import { keepOnDisk } from './storage-host.ts';
import { tuningStore } from './cache-folder.ts';
import { openGrammars } from '../grammar/open-grammars.ts';

/** Runs an engine in this thread. A worker thread would crash the process if it ended during GPU work. */
export const startInProcess: StartEngine = async () => {
  keepOnDisk();
  /** Files that stay open until the engine ends. */
  const opened: { close: () => Promise<void> }[] = [];
  const engine = hostEngine(hostOf(opened));
  let isOver = false;
  const close = (): Promise<void> => {
    engine.dispose();
    return closeAll(opened.splice(0));
  };
  const unlessOver = (): void => {
    if (isOver) throw new ChunkwiseError('disposed', { reason: 'the engine was disposed while it loaded' });
  };
  return {
    call: async (name, args) => structuredClone(await engine.call(name, args)),
    stream: async (port, name, args) => engine.stream(port, name, structuredClone(args)),

    async load(options, onEvent, confirm) {
      const tell: typeof onEvent = (event) => {
        unlessOver(); // an aborted load stops at its next progress event
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
  plans: inlinePlans,
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
    const { source, openDefinition, close } = await openAdapter(path);
    opened.push({ close });
    const sources = Object.values(source).map((file) => ({ source: file }));
    await askFirst({ kind: 'adapter', name: path }, confirm, async () => sources);
    return { source, openDefinition };
  },

  async libraryFiles(place, hub) {
    if (!('folder' in place) || !isFileUrl(place.folder)) return filesOnHub(place, hub);
    return filesIn(fileURLToPath(place.folder));
  },
});

/** Undefined if the adapter is not a file on this disk. */
function localAdapter(files: Parameters<EngineHost['openAdapter']>[0]): string | undefined {
  if ('gguf' in files) return isFileUrl(files.gguf) ? fileURLToPath(files.gguf) : undefined;
  return 'folder' in files && isFileUrl(files.folder) ? fileURLToPath(files.folder) : undefined;
}
