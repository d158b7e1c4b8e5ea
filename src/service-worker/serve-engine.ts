import { readStream } from '../../workers/port-stream.ts';
import { describeError, HttpError } from '../api/http/http-error.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { holdLock, watchLock } from '../../workers/locks.ts';
import {
  CLAIM,
  type ForwardedRequest,
  OFFER_LOCK,
  PAGE_LOCK,
  type ResponseHead,
  type ResponsePart,
  type Search,
} from './protocol.ts';
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
    throw new ChunkwiseError('bad_request', {
      field: 'path',
      reason: `must end in /v1/, but is ${JSON.stringify(path)}`,
    });
  }
  scope.addEventListener('fetch', (event) => {
    const { request } = event;
    if (!request.url.startsWith(served.href)) return;
    const ended = new AbortController();
    // The worker lives until the last byte is read.
    event.waitUntil(new Promise<void>((resolve) => ended.signal.addEventListener('abort', () => resolve())));
    event.respondWith(answer(scope, request, ended));
  });
  scope.addEventListener('message', (event) => {
    if (event.data === CLAIM) event.waitUntil(scope.clients.claim());
  });
}

/** Aborts `ended` when the answer has ended. */
async function answer(scope: ServiceWorkerScope, request: Request, ended: AbortController): Promise<Response> {
  const { signal } = request;
  try {
    const parts = await forward(scope, request, ended.signal);
    const { value } = await parts.next();
    const { status, headers } = value as ResponseHead;
    return new Response(
      bodyOf(parts, () => ended.abort()),
      { status, headers },
    );
  } catch (error) {
    ended.abort();
    signal.throwIfAborted();
    const { status, body } = describeError(error);
    return Response.json(body, { status });
  }
}

/** Sends the request to a page with an engine; gives its answer's parts. Throws 503 `no_engine` where there is none. */
async function forward(
  { navigator: { locks }, clients }: ServiceWorkerScope,
  request: Request,
  ended: AbortSignal,
): Promise<AsyncGenerator<ResponsePart, void>> {
  const { held = [] } = await locks.query();
  const offer = held.find(({ name }) => name?.startsWith(OFFER_LOCK))?.name;
  if (offer === undefined) throw new HttpError(503, 'no_engine', null, 'no page of this origin holds an engine');
  const id = offer.slice(OFFER_LOCK.length);
  const gone = new AbortController();
  const onGone = (): void =>
    gone.abort(new ChunkwiseError('disposed', { reason: 'the page that held the engine is gone' }));
  watchLock(locks, PAGE_LOCK + id, onGone, ended);
  const client = await findClient(await clients.matchAll({ includeUncontrolled: true }), id, gone.signal);
  const { url, method, headers, signal } = request;
  const body = method === 'GET' || method === 'HEAD' ? null : await request.arrayBuffer();
  const lock = `chunkwise request ${crypto.randomUUID()}`;
  const release = await holdLock(locks, lock);
  ended.addEventListener('abort', release);
  const { port1, port2 } = new MessageChannel();
  const forwarded: ForwardedRequest = { type: 'chunkwise-request', lock, url, method, headers: [...headers], body };
  client.postMessage(forwarded, body ? [port2, body] : [port2]);
  return readStream<ResponsePart>(port1, { signal, gone: gone.signal });
}

/** The page that offers the engine of this id. Rejects when it is gone. */
function findClient(
  clients: readonly ServiceWorkerClient[],
  id: string,
  gone: AbortSignal,
): Promise<ServiceWorkerClient> {
  const search: Search = { type: 'chunkwise-search', id };
  return new Promise((resolve, reject) => {
    const onGone = (): void => reject(gone.reason as ChunkwiseError);
    gone.addEventListener('abort', onGone);
    if (gone.aborted) onGone();
    for (const client of clients) {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve(client);
      client.postMessage(search, [port2]);
    }
  });
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
