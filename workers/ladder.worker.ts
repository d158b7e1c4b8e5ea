/** Builds one adapter's rank ladders beside the engine, whose answers go on meanwhile. */
import { transfer } from 'comlink';
import type { AdapterModules } from '../src/adapters/formats/adapter-file.ts';
import type { AdapterLadder, LadderOptions } from '../src/adapters/ladder/adapter-ladder.ts';
import { buildAdapterLadder } from '../src/adapters/ladder/adapter-ladder.ts';
import { serveThread } from './thread.ts';

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
