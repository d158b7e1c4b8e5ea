import { readStream } from '../../workers/wire.ts';
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

/** Global scope of a service worker; TypeScript's library for pages lacks it. */
export interface ServiceWorkerScope {
  readonly registration: { readonly scope: string };
  readonly clients: {
    matchAll(options: { includeUncontrolled: boolean }): Promise<readonly ServiceWorkerClient[]>;
    /** Takes control of all pages in the scope. */
    claim(): Promise<void>;
  };
  readonly navigator: { readonly locks: LockManager };
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
  addEventListener(type: 'message', listener: (event: MessageFromPage) => void): void;
}

export interface ServiceWorkerClient {
  postMessage(message: unknown, transfer: Transferable[]): void;
}

interface LastingEvent {
  /** Keeps the worker alive until `done` settles. */
  waitUntil(done: Promise<unknown>): void;
}

export interface FetchEvent extends LastingEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

interface MessageFromPage extends LastingEvent {
  readonly data: unknown;
}

export interface ServeOptions {
  /** Path of the origin to answer requests under; must end in `/v1/`. Default: `v1/` in the worker's scope. */
  path?: string;
}

/**
 * In an app's service worker: answers requests under `path` like an OpenAI-compatible server, with the engine of a page of the
 * same origin (see `provideEngine`). Without one, the answer is 503 with the code `no_engine`. Call it while the worker
 * starts. Errors: `bad_request` for the path.
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
    // Keeps the worker alive until the last byte is read.
    event.waitUntil(new Promise<void>((resolve) => ended.signal.addEventListener('abort', () => resolve())));
    event.respondWith(answer(scope, request, ended));
  });
  scope.addEventListener('message', (event) => {
    if (event.data === CLAIM) event.waitUntil(scope.clients.claim());
  });
}

/** Aborts `ended` when the answer ends. */
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

/** Sends the request to a page with an engine and returns the parts of its answer. Throws 503 `no_engine` if there is no such page. */
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

/** Finds the page that offers the engine of this id. Rejects when that page is gone. */
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
    cancel: onEnd, // releases the lock, so the page stops
  });
}
