/** Owns the GPU and hosts the engine. */
import { expose } from 'comlink';
import { browserGpu } from './browser-gpu.ts';
import { hostEngine } from './engine-host.ts';
import { laddersIn, openAdapter } from './adapter-files.ts';
import { grammarsIn } from './grammar-thread.ts';
import { holdLock } from './locks.ts';
import { openModel } from './model-store.ts';
import { tuningStore } from '../src/storage/tuning-store.ts';
import type { EngineWorker } from './protocol.ts';
import { SchedulerPlans, startScheduler } from './scheduler-plans.ts';
import { carryErrors } from './wire-error.ts';

declare global {
  interface WorkerNavigator {
    /** GiB, roughly. Not in every browser. */
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
  tuning: tuningStore,
});

const worker: EngineWorker = {
  ...engine,

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
