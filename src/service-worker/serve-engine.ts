import { readStream } from '../../workers/port-stream.ts';
import { describeError, HttpError } from '../api/http/http-error.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { holdLock, watchLock } from './locks.ts';
import { type ForwardedRequest, OFFER_LOCK, PAGE_LOCK, type ResponseHead, type ResponsePart } from './protocol.ts';
import type { ServiceWorkerClient, ServiceWorkerScope } from './scope.ts';

export interface ServeOptions {
  /** Answers what is below this path of the origin; it ends in `/v1/`. Default: `v1/` in the worker's scope. */
  path?: string;
}

/**
 * In an app's service worker: answers requests of all its pages under `path` as an OpenAI-compatible server, by a page
 * of the origin that holds an engine (see `provideEngine`). Where none does, the answer is 503 with the code
 * `no_engine`. To be called while the worker starts. Errors: `bad_request` for the path.
 */
export function serveEngine({ path = 'v1/' }: ServeOptions = {}): void {
  const scope = globalThis as unknown as ServiceWorkerScope;
  const served = new URL(path, scope.registration.scope);
  if (!served.pathname.endsWith('/v1/')) {
    throw new ChunkwiseError('bad_request', { field: 'path', reason: `must end in /v1/, but is ${JSON.stringify(path)}` });
  }
  scope.addEventListener('fetch', (event) => {
    const { request, clientId } = event;
    if (!request.url.startsWith(served.href)) return;
    const ended = new AbortController();
    // The worker lives until the last byte is read.
    event.waitUntil(new Promise<void>((resolve) => ended.signal.addEventListener('abort', () => resolve())));
    event.respondWith(answer(scope, request, clientId, ended));
  });
}

/** Aborts `ended` when the answer has ended. */
async function answer(
  scope: ServiceWorkerScope,
  request: Request,
  asking: string,
  ended: AbortController,
): Promise<Response> {
  const { signal } = request;
  try {
    const parts = await forward(scope, request, await findHolder(scope, asking), ended.signal);
    const { value } = await parts.next();
    const { status, headers } = value as ResponseHead;
    return new Response(bodyOf(parts, () => ended.abort()), { status, headers });
  } catch (error) {
    ended.abort();
    signal.throwIfAborted();
    const { status, body } = describeError(error);
    return Response.json(body, { status });
  }
}

interface Holder {
  client: ServiceWorkerClient;
  id: string;
}

/** The asking page itself where it offers an engine, else the one that has done so longest. Throws 503 `no_engine`. */
async function findHolder({ navigator, clients }: ServiceWorkerScope, asking: string): Promise<Holder> {
  const { held = [] } = await navigator.locks.query();
  const offers = held.filter(({ name }) => name?.startsWith(OFFER_LOCK));
  offers.sort((a, b) => Number(b.clientId === asking) - Number(a.clientId === asking));
  for (const { name = '', clientId = '' } of offers) {
    const client = await clients.get(clientId);
    if (client) return { client, id: name.slice(OFFER_LOCK.length) };
  }
  throw new HttpError(503, 'no_engine', null, 'no page of this origin holds an engine');
}

/** Sends the request to the page; gives its answer's parts. */
async function forward(
  { navigator: { locks } }: ServiceWorkerScope,
  request: Request,
  { client, id }: Holder,
  ended: AbortSignal,
): Promise<AsyncGenerator<ResponsePart, void>> {
  const { url, method, headers, signal } = request;
  const body = method === 'GET' || method === 'HEAD' ? null : await request.arrayBuffer();
  const lock = `chunkwise request ${crypto.randomUUID()}`;
  const release = await holdLock(locks, lock);
  ended.addEventListener('abort', release);
  const gone = new AbortController();
  const onGone = (): void => gone.abort(new ChunkwiseError('disposed', { reason: 'the page that held the engine is gone' }));
  watchLock(locks, PAGE_LOCK + id, onGone, ended);
  const { port1, port2 } = new MessageChannel();
  const forwarded: ForwardedRequest = { type: 'chunkwise-request', lock, url, method, headers: [...headers], body };
  client.postMessage(forwarded, body ? [port2, body] : [port2]);
  return readStream<ResponsePart>(port1, { signal, gone: gone.signal });
}

function bodyOf(parts: AsyncGenerator<ResponsePart, void>, onEnd: () => void): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await parts.next();
        if (!done) {
          controller.enqueue(value as Uint8Array);
          return;
        }
        onEnd();
        controller.close();
      } catch (error) {
        onEnd();
        controller.error(error);
      }
    },
    cancel: onEnd, // which frees the lock: the page stops
  });
}
