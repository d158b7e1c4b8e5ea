import { proxy, releaseProxy, wrap } from 'comlink';
import { isApplePhone } from '../../workers/apple-phones.ts';
import { watchThread } from '../../workers/locks.ts';
import { PageThreads } from '../../workers/page-threads.ts';
import type { EngineWorker } from '../../workers/protocol.ts';
import { carryErrors } from '../../workers/wire-error.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { StartEngine } from './engine-thread.ts';
import { blobRefused, noWorkers } from './worker-policy.ts';

carryErrors();

/** Milliseconds in which a browser says that the page's policy kept a worker from starting. */
const POLICY_MS = 1000;

/**
 * Starts a worker. Its code and its threads', and what reads chats' answers, come with the first one, from where the page's
 * came. Throws `network`; `unsupported` where the page's policy lets no worker start.
 */
export const startWorker: StartEngine = async (onEnd) => {
  // As text in chunks, which every bundler takes along and every origin may serve; see docs/decisions/package.md.
  const code = Promise.all([
    import('../../workers/engine.worker.ts?worker&inline'),
    import('../../workers/scheduler.worker.ts?worker&inline'),
    import('../../workers/ladder.worker.ts?worker&inline'),
    import('./chat/answer-reader.ts'),
  ]);
  const [engine, scheduler, ladder] = await code.catch((cause: unknown) => {
    throw new ChunkwiseError('network', { reason: "the engine's code could not be loaded" }, { cause });
  });
  const threads = new PageThreads({
    scheduler: async () => scheduler,
    ladder: async () => ladder,
    grammar: () => import('../../workers/grammar.worker.ts?worker&inline'), // only answers of a format need it
  });
  const watching = new AbortController();
  const refused = blobRefused(watching.signal);
  const worker = started(engine.default);
  const remote = wrap<EngineWorker>(worker);
  const fail = (how: string): void => onEnd(new ChunkwiseError('disposed', { reason: `the engine's worker ${how}` }));
  worker.onerror = (event) => {
    event.preventDefault();
    if (event.message) {
      fail(`failed: ${event.message}`);
      return;
    }
    // Why it could not be started an event of its own tells, before this one or after it.
    void refused.then(() => onEnd(noWorkers()));
    setTimeout(() => fail('could not be started'), POLICY_MS);
  };
  worker.onmessageerror = () => fail('sent what cannot be read');
  const onGone = (): void => fail('was ended from outside, or ran out of memory; createEngine starts another');
  watchThread((lock) => remote.hold(lock), onGone, watching.signal).catch(() => undefined); // some origins get no locks
  return {
    calls: remote,
    load: (options, onEvent, confirm) =>
      remote.load(
        { ...options, isApplePhone: isApplePhone(navigator) },
        proxy(onEvent),
        proxy(threads.start),
        confirm && proxy(confirm),
      ),
    end() {
      watching.abort();
      remote[releaseProxy]();
      worker.terminate();
      threads.end();
    },
  };
};

function started(code: new (options: { name: string }) => Worker): Worker {
  try {
    return new code({ name: 'engine' });
  } catch (cause) {
    throw noWorkers(cause); // some browsers say so at once
  }
}
