/** Builds an adapter's rank ladders in its own thread, so that the engine's answers continue. */
import { transfer } from 'comlink';
import type { AdapterModules } from '../src/adapters/adapter-file.ts';
import { type AdapterLadder, buildAdapterLadder, type LadderOptions } from '../src/adapters/rank-ladder.ts';
import { serveThread } from './threads.ts';

export interface LadderWorker {
  build(adapter: AdapterModules, options?: LadderOptions): AdapterLadder;
}

const worker: LadderWorker = {
  build(adapter, options) {
    const ladder = buildAdapterLadder(adapter, options);
    return transfer(
      ladder,
      ladder.modules.flatMap(({ a, bTransposed }) => [a.buffer, bTransposed.buffer]),
    );
  },
};

serveThread(worker);
