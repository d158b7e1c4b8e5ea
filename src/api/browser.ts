import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { proxy, releaseProxy, transfer, wrap } from 'comlink';
import { APPLE_PHONE_GIB, browserGpu, isApplePhone } from '../../workers/browser-device.ts';
import { watchThread } from '../../workers/locks.ts';
import type { EngineWorker } from '../../workers/protocol.ts';
import { PageThreads } from '../../workers/threads.ts';
import { carryErrors } from '../../workers/wire.ts';
import type { HubOptions } from '../hub/hub-api.ts';
import type { Availability, Engine, EngineOptions } from './engine-types.ts';
import { openEngine } from './open-engine.ts';
import { modelUrlBy } from './options.ts';
import { pageUrl } from './names.ts';
import type { Platform, StartEngine } from './platform.ts';

carryErrors();

/** Milliseconds within which a browser reports that the page's policy kept a worker from starting. */
const POLICY_MS = 1000;

/** Some browsers report at most this much memory. */
const MOST_TOLD_GIB = 8;

/**
 * Starts a worker. The first call also loads the code of the worker, of its threads and of the answer reader, from where
 * the page's own code came. Throws `network`; `unsupported` if the page's policy lets no worker start.
 */
const startWorker: StartEngine = async (onEnd) => {
  // The code is text in chunks: every bundler includes them and every origin may serve them; see docs/decisions/package.md.
  const code = Promise.all([
    import('../../workers/engine.worker.ts?worker&inline'),
    import('../../workers/ranks.worker.ts?worker&inline'),
    import('./chat/answer-reader.ts'),
  ]);
  const [engine, ranks] = await code.catch((cause: unknown) => {
    throw new ChunkwiseError('network', { reason: "the engine's code could not be loaded" }, { cause });
  });
  const threads = new PageThreads({
    scheduler: async () => ranks,
    ladder: async () => ranks,
    grammar: () => import('../../workers/grammar.worker.ts?worker&inline'), // only answers with a format need it
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
    // A separate event, before or after this one, tells that the policy was the reason.
    void refused.then(() => onEnd(noWorkers()));
    setTimeout(() => fail('could not be started'), POLICY_MS);
  };
  worker.onmessageerror = () => fail('sent what cannot be read');
  const onGone = (): void => fail('was ended from outside, or ran out of memory; createEngine starts another');
  watchThread((lock) => remote.hold(lock), onGone, watching.signal).catch(() => undefined); // some origins get no locks
  return {
    call: (name, args) => remote.call(name, args),
    stream: (port, name, args) => remote.stream(transfer(port, [port]), name, args),
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
    throw noWorkers(cause); // some browsers refuse at once
  }
}

/**
 * Resolves when the page's Content-Security-Policy refuses a blob, which is how workers start here. The error event of a
 * refused worker does not tell the reason.
 */
const blobRefused = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const onViolation = ({ disposition, blockedURI }: SecurityPolicyViolationEvent): void => {
      if (disposition === 'enforce' && blockedURI.startsWith('blob')) resolve();
    };
    globalThis.document?.addEventListener('securitypolicyviolation', onViolation, { signal });
  });

function noWorkers(cause?: unknown): ChunkwiseError {
  const reason = "this page's policy lets no worker start from a blob: add the directive `worker-src blob:` to it";
  return new ChunkwiseError('unsupported', { field: 'Content-Security-Policy', reason }, { cause });
}

/** A page. */
const BROWSER: Platform = {
  toUrl: pageUrl,

  // Only a page can ask. Storage works without the grant too.
  persist: () => void globalThis.navigator.storage?.persist?.().catch(() => false),

  startEngine: startWorker,

  gpu: async () => browserGpu(),

  memory() {
    const { deviceMemory: gib } = navigator as { deviceMemory?: number };
    if (gib !== undefined) return { gib, isAll: gib < MOST_TOLD_GIB };
    return isApplePhone(navigator) ? { gib: APPLE_PHONE_GIB, isAll: false } : undefined;
  },

  localBytes: () => undefined,
};

/**
 * Starts a worker, loads the model in it, and resolves when the engine can answer. The browser keeps downloaded models. In
 * Node the engine runs in the caller's thread, on WebGPU from the package `webgpu`; a model may be the path of a file or a
 * folder, and downloads are kept in the folder that the environment variable `CHUNKWISE_CACHE` names, or in the
 * platform's usual place.
 * @throws ChunkwiseError `bad_request` for an option; `no_webgpu`; `unsupported` if the page's Content-Security-Policy
 * lets no worker start; `network`, `bad_file`, `unsupported` for the model or an adapter; `over_limit` before the weights
 * are downloaded, when the device, the storage or `memoryLimitBytes` cannot hold them; `kernel_refused` when the browser
 * or its driver does not compile the model's kernels, `wrong_results` when the device computes them wrong; `device_lost`
 * when the GPU stops during loading; `storage_lost` when a download is deleted during loading; `aborted`, also when
 * `confirmLoad` returns false. With a `fallback`, a server answers instead of `no_webgpu`, `kernel_refused`,
 * `wrong_results`, `over_limit` and `device_lost` being thrown.
 */
export function createEngine(options: EngineOptions): Promise<Engine> {
  return openEngine(options, BROWSER);
}

/**
 * Tells whether `createEngine` with these options would load a model here, and how much it would download first, as far as
 * that is known before any of the model is downloaded: WebGPU has an adapter; the model is stored, or its server has it;
 * it fits within `memoryLimitBytes`, the device's memory and the storage. Without a model, only WebGPU is checked.
 * Errors: `bad_request` for an option.
 */
export async function availability(options: Partial<EngineOptions> = {}): Promise<Availability> {
  return (await import('./check-availability.ts')).checkAvailability(options, BROWSER);
}

/**
 * Returns the address of the file that a hub id or URL names, or of the repository's page if a hub id names no file.
 * Fetches nothing. Throws `bad_request`.
 */
export function modelUrl(model: string, hub: HubOptions = {}): string {
  return modelUrlBy(pageUrl, model, hub);
}
