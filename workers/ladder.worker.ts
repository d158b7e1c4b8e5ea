/** Builds one adapter's rank ladders beside the engine, whose answers go on meanwhile. */
import { transfer } from 'comlink';
import type { AdapterModules } from '../src/adapters/formats/adapter-file.ts';
import type { AdapterLadder, LadderOptions } from '../src/adapters/ladder/adapter-ladder.ts';
import { buildAdapterLadder } from '../src/adapters/ladder/adapter-ladder.ts';
import { holdLock } from './locks.ts';
import { endThread, serveThread } from './thread.ts';
import { carryErrors } from './wire-error.ts';

export interface LadderWorker {
  /** As in `scheduler.worker`. */
  hold(lock: string): Promise<void>;
  build(adapter: AdapterModules, options?: LadderOptions): AdapterLadder;
  /** Ends the thread. */
  end(): void;
}

const worker: LadderWorker = {
  hold: async (lock) => void (await holdLock(navigator.locks, lock)),

  build(adapter, options) {
    const ladder = buildAdapterLadder(adapter, options);
    return transfer(ladder, ladder.modules.flatMap(({ a, bTransposed }) => [a.buffer, bTransposed.buffer]));
  },

  end: endThread,
};

carryErrors();
serveThread(worker);
