/**
 * Plans the chunks of prompts, ahead of the GPU, and builds adapters' rank ladders, so that the engine's answers continue.
 * These are separate threads. They run the same code because that is smaller than a file for each (docs/decisions/package.md).
 */
import { transfer } from 'comlink';
import type { AdapterModules } from '../src/adapters/adapter-file.ts';
import { type AdapterLadder, buildAdapterLadder, type LadderOptions } from '../src/adapters/rank-ladder.ts';
import { createScheduler } from './scheduler.ts';
import { serveThread } from './threads.ts';

export interface Ladders {
  build(adapter: AdapterModules, options?: LadderOptions): AdapterLadder;
}

const ladders: Ladders = {
  build(adapter, options) {
    const ladder = buildAdapterLadder(adapter, options);
    return transfer(
      ladder,
      ladder.modules.flatMap(({ a, bTransposed }) => [a.buffer, bTransposed.buffer]),
    );
  },
};

serveThread({ ...createScheduler(), ...ladders });
