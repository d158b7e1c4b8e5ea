import { serveStream } from '../../workers/port-stream.ts';
import type { Engine } from '../api/types.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { holdLock, watchLock } from '../../workers/locks.ts';
import { CLAIM, type ForwardedRequest, isOurs, OFFER_LOCK, PAGE_LOCK, type ResponsePart } from './protocol.ts';

/** Milliseconds in which a service worker that is registered must have taken control of the page. */
const CONTROL_MS = 60_000;

/**
 * Lets the origin's service worker answer requests with this page's engine: those of every tab, for as long as this
 * page lives or until the returned function is called; what is being answered then goes on. Resolves when `serveEngine`
 * can find it, and this page's own requests go there: a page that was loaded before the service worker that is registered
 * for it is taken over. Errors: `bad_request` for what is no engine; `unsupported` in a page that may have no service
 * worker, or whose service worker does not take it over.
 */
export async function provideEngine(engine: Pick<Engine, 'fetch'>): Promise<() => void> {
  if (typeof (engine as Partial<typeof engine> | undefined)?.fetch !== 'function') {
    throw new ChunkwiseError('bad_request', { field: 'engine', reason: 'must be an engine, with a fetch' });
  }
  const { serviceWorker, locks } = globalThis.navigator as Partial<Pick<Navigator, 'serviceWorker' | 'locks'>>;
  if (!serviceWorker || !locks)
    throw new ChunkwiseError('unsupported', {
      field: 'serviceWorker',
      reason: 'the page is not secure, or its browser has none',
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
    const done = serveStream(port, (signal) => answer(engine, data, signal), gone.signal);
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

/** Waits until the service worker controls this page, which it does not where the page was loaded before it, or past it. */
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
    onChange(); // meanwhile
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
