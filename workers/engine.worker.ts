/** Owns the GPU and hosts the engine. */
import { expose } from 'comlink';
import { browserGpu } from './browser-device.ts';
import { hostEngine } from './engine-host.ts';
import { laddersIn, libraryFiles, openAdapter } from './adapter-files.ts';
import { grammarsIn } from './grammar-thread.ts';
import { holdLock } from './locks.ts';
import { openModel } from './model-store.ts';
import { tuningStore } from '../src/storage/result-stores.ts';
import type { EngineWorker } from './protocol.ts';
import { SchedulerPlans, startScheduler } from './scheduler.ts';
import { carryErrors } from './wire.ts';

declare global {
  interface WorkerNavigator {
    /** Rough memory in GiB; missing in some browsers. */
    readonly deviceMemory?: number;
  }
  interface Navigator {
    readonly deviceMemory?: number;
  }
}

const engine = hostEngine({
  gpu: browserGpu,
  memoryGib: navigator.deviceMemory,
  name: navigator.userAgent,
  openModel,
  openAdapter,
  libraryFiles,
  tuning: tuningStore,
});

const worker: EngineWorker = {
  call: (name, args) => engine.call(name, args),
  stream: (port, name, args) => engine.stream(port, name, args),

  hold: async (lock) => void (await holdLock(navigator.locks, lock)),

  load: (options, onEvent, startThread, confirm) =>
    engine.load(
      options,
      onEvent,
      {
        buildLadders: laddersIn(startThread),
        openGrammars: (vocabulary) => grammarsIn(startThread, vocabulary),
        plans: new SchedulerPlans(() => startScheduler(startThread)),
      },
      confirm,
    ),
};

carryErrors();
expose(worker);
