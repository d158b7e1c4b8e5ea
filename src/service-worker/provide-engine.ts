import { serveStream } from '../../workers/wire.ts';
import type { Engine } from '../api/engine-types.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { holdLock, watchLock } from '../../workers/locks.ts';
import { CLAIM, type ForwardedRequest, isOurs, OFFER_LOCK, PAGE_LOCK, type ResponsePart } from './protocol.ts';

/** Milliseconds within which a registered service worker must take control of the page. */
const CONTROL_MS = 60_000;

/**
 * Lets the origin's service worker answer the requests of every tab with this page's engine, until the page ends or the
 * returned function is called; running answers then finish. Resolves when `serveEngine` can find the engine and controls
 * this page's own requests. A page that was loaded before its service worker is taken over. Errors: `bad_request` for a value
 * that is no engine; `unsupported` if the page cannot have a service worker, or its service worker does not take control.
 */
export async function provideEngine(engine: Pick<Engine, 'fetch'>): Promise<() => void> {
  if (typeof (engine as Partial<typeof engine> | undefined)?.fetch !== 'function') {
    throw new ChunkwiseError('bad_request', { field: 'engine', reason: 'must be an engine, with a fetch' });
  }
  const { serviceWorker, locks } = globalThis.navigator as Partial<Pick<Navigator, 'serviceWorker' | 'locks'>>;
  if (!serviceWorker || !locks)
    throw new ChunkwiseError('unsupported', {
      field: 'serviceWorker',
      reason: 'the page is not secure, or the browser has no service workers',
    });
  await control(serviceWorker);
  const id = crypto.randomUUID();
  const answering = new Set<Promise<void>>();
  const onMessage = ({ data, ports: [port] }: MessageEvent<unknown>): void => {
    if (!isOurs(data) || !port) return;
    if (data.type === 'chunkwise-search') {
      if (data.id === id) port.postMessage('here');
      return;
    }
    const gone = new AbortController();
    watchLock(locks, data.lock, () => gone.abort());
    const done = serveStream(port, (signal) => answer(engine, data, signal), { gone: gone.signal });
    answering.add(done);
    void done.then(() => answering.delete(done));
  };
  serviceWorker.addEventListener('message', onMessage);
  serviceWorker.startMessages();
  const leavePage = await holdLock(locks, PAGE_LOCK + id);
  const leaveOffer = await holdLock(locks, OFFER_LOCK + id);
  return () => {
    leaveOffer();
    void Promise.all(answering).then(() => {
      serviceWorker.removeEventListener('message', onMessage);
      leavePage();
    });
  };
}

/** Waits until the service worker controls this page. It does not yet if the page was loaded before it, or bypassed it. */
async function control(serviceWorker: ServiceWorkerContainer): Promise<void> {
  if (serviceWorker.controller || !(await serviceWorker.getRegistration())) return;
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => {
      const reason = 'it does not take control of this page: it must call serveEngine';
      reject(new ChunkwiseError('unsupported', { field: 'serviceWorker', reason }));
    }, CONTROL_MS);
    const onChange = (): void => {
      if (!serviceWorker.controller) return;
      clearTimeout(late);
      serviceWorker.removeEventListener('controllerchange', onChange);
      resolve();
    };
    serviceWorker.addEventListener('controllerchange', onChange);
    void serviceWorker.ready.then(({ active }) => active?.postMessage(CLAIM));
    onChange(); // it may have changed already
  });
}

async function* answer(
  engine: Pick<Engine, 'fetch'>,
  { url, method, headers, body }: ForwardedRequest,
  signal: AbortSignal,
): AsyncGenerator<ResponsePart, void> {
  const response = await engine.fetch(url, { method, headers, body, signal });
  yield { status: response.status, headers: [...response.headers] };
  const reader = response.body?.getReader();
  try {
    for (let part = await reader?.read(); part?.done === false && !signal.aborted; part = await reader?.read())
      yield part.value;
  } finally {
    await reader?.cancel();
  }
}
