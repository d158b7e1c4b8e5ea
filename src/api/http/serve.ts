import { isRecord } from '../../config/is-record.ts';
import type {
  ChatCompletionRequest,
  CompletionRequest,
  DecisionRequest,
  EmbeddingRequest,
  Engine,
  RerankRequest,
} from '../types.ts';
import { eventStream } from './event-stream.ts';
import { describeError, HttpError } from './http-error.ts';
import { findModel, listModels } from './models.ts';

/** What the routes need of an engine. */
export type Served = Pick<
  Engine,
  'model' | 'contextLength' | 'adapters' | 'chat' | 'completions' | 'embeddings' | 'rerank' | 'decisions'
>;

/** Says who answered, the device or the server that stands in for it. */
export const ANSWERED_BY = 'chunkwise-answered-by';

/**
 * Answers a request as an OpenAI-compatible server does, whatever its origin and the path before `/v1`. Rejects as
 * fetch does when its signal aborts; every other error is a response.
 */
export async function serve(engine: Served, request: Request): Promise<Response> {
  const { signal } = request;
  signal.throwIfAborted();
  let response: Response;
  try {
    response = await answer(engine, request);
  } catch (error) {
    signal.throwIfAborted();
    const { status, body, headers } = describeError(error);
    response = Response.json(body, { status, headers });
  }
  response.headers.set(ANSWERED_BY, 'device');
  response.headers.set('x-request-id', crypto.randomUUID());
  return response;
}

async function answer(engine: Served, request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const route = /\/v1\/(.*?)\/?$/.exec(pathname)?.[1] ?? '';
  if (route === 'models') {
    allow(request, 'GET');
    return Response.json({ object: 'list', data: await listModels(engine) });
  }
  if (route.startsWith('models/')) {
    allow(request, 'GET');
    return Response.json((await findModel(engine, nameIn(route.slice('models/'.length)))).entry);
  }
  const create = Object.hasOwn(ROUTES, route) ? ROUTES[route] : undefined;
  if (!create) throw new HttpError(404, 'not_found', null, `there is nothing at ${pathname}`);
  allow(request, 'POST');
  const { model, ...fields } = await bodyOf(request);
  const { entry, adapter } = await findModel(engine, model);
  return create(engine, withAdapter(fields, adapter), entry.id, request.signal);
}

/** A name in a path; one whose escapes are no UTF-8 is no model's, as it stands. */
function nameIn(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** With the adapter that the model's name stands for. */
function withAdapter(fields: Record<string, unknown>, adapter: string | undefined): Record<string, unknown> {
  if (adapter === undefined) return fields;
  if (fields['adapter'] === undefined || fields['adapter'] === null) return { ...fields, adapter };
  throw new HttpError(400, 'bad_request', 'adapter', `model already names the adapter ${adapter}`);
}

type Create = (engine: Served, fields: unknown, model: string, signal: AbortSignal) => Promise<Response>;

const ROUTES: Record<string, Create> = {
  'chat/completions': ({ chat }, fields, model, signal) =>
    respond(chat.completions.create(fields as ChatCompletionRequest & { stream: true }, { signal }), model, signal),
  completions: ({ completions }, fields, model, signal) =>
    respond(completions.create(fields as CompletionRequest & { stream: true }, { signal }), model, signal),
  embeddings: ({ embeddings }, fields, model, signal) =>
    respond(embeddings.create(fields as EmbeddingRequest, { signal }), model, signal),
  rerank: ({ rerank }, fields, model, signal) => respond(rerank(fields as RerankRequest, { signal }), model, signal),
  decisions: ({ decisions }, fields, model, signal) =>
    respond(decisions.create(fields as DecisionRequest, { signal }), model, signal),
  systemone: async ({ decisions }, fields, model, signal) => {
    const { decisionsOf, systemOneOf } = await import('./system-one.ts');
    return Response.json(systemOneOf(await decisions.create(decisionsOf(fields), { signal }), model));
  },
};

/** An answer, whole or in chunks. */
async function respond(answering: Promise<object>, model: string, signal: AbortSignal): Promise<Response> {
  const answered = await answering;
  if (!isStream(answered)) return Response.json({ ...answered, model });
  const chunks = named(answered, model);
  // What is refused at once has a status of its own.
  const first = await chunks.next();
  const body = eventStream(startingWith(first, chunks), signal);
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  });
}

const isStream = (answer: object): answer is AsyncIterable<object> => Symbol.asyncIterator in answer;

async function* named(chunks: AsyncIterable<object>, model: string): AsyncGenerator<object, void> {
  for await (const chunk of chunks) yield { ...chunk, model };
}

/** An iteration of which one item was taken. */
function startingWith<T>(first: IteratorResult<T, void>, rest: AsyncGenerator<T, void>): AsyncIterator<T, void> {
  let taken: IteratorResult<T, void> | undefined = first;
  return {
    async next() {
      const next = taken ?? (await rest.next());
      taken = undefined;
      return next;
    },
    return: () => rest.return(),
  };
}

function allow(request: Request, method: string): void {
  if (request.method === method) return;
  throw new HttpError(405, 'method_not_allowed', null, `the method is ${request.method}, but must be ${method}`, {
    allow: method,
  });
}

async function bodyOf(request: Request): Promise<Record<string, unknown>> {
  const text = await request.text();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new HttpError(400, 'bad_request', null, `the body is not JSON: ${String(error)}`);
  }
  return isRecord(body) ? body : badBody();
}

function badBody(): never {
  throw new HttpError(400, 'bad_request', null, 'the body must be a JSON object');
}
