/** Starts the scheduler in a Node worker thread, since Node has no web `Worker`. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { wrap } from 'comlink';
import { ChunkwiseError } from '../../../src/errors/chunkwise-error.ts';
import { carryErrors } from '../../../workers/wire.ts';
import type { Scheduler, SchedulerThread } from '../../../workers/scheduler.ts';
import { nodeEndpoint } from './node-endpoint.ts';

carryErrors();

export interface NodeScheduler extends SchedulerThread {
  kill(): Promise<void>;
}

export function startNodeScheduler(): NodeScheduler {
  const entry = new URL('./scheduler-entry.ts', import.meta.url).href;
  const start = "import('tsx/esm/api').then(({ register }) => { register(); return import(workerData); })";
  const worker = new Worker(`const { workerData } = require('node:worker_threads'); ${start}`, {
    eval: true,
    workerData: entry,
  });
  worker.unref();
  const ended = once(worker, 'exit').then(() => {
    throw new ChunkwiseError('scheduler_lost', { reason: 'the thread ended' });
  });
  return {
    scheduler: wrap<Scheduler>(nodeEndpoint(worker)),
    ended,
    kill: async () => void (await worker.terminate()),
  };
}
