import { isRecord } from '../../util/values.ts';
import type { Engine, CallOptions } from '../engine-types.ts';
import { describeError, HttpError } from './http-error.ts';
import type { AdapterInfo } from '../../engine/types.ts';
import { describe } from '../checks.ts';

/** The members of an engine that the routes use. */
export type Served = Pick<
  Engine,
  'model' | 'contextLength' | 'adapters' | 'chat' | 'completions' | 'embeddings' | 'rerank' | 'decisions'
>;

/** Response header that names the source of the answer: `device`, or `server` for a fallback. */
export const ANSWERED_BY = 'chunkwise-answered-by';

/**
 * Answers a request like an OpenAI-compatible server, under any origin and any path before `/v1`. Rejects like fetch when the
 * signal aborts; every other error becomes a response.
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
  const method = Object.hasOwn(METHODS, route) ? METHODS[route] : undefined;
  if (!method) throw new HttpError(404, 'not_found', null, `there is nothing at ${pathname}`);
  allow(request, 'POST');
  const { model, ...body } = await bodyOf(request);
  const { entry, adapter } = await findModel(engine, model);
  const fields = withAdapter(body, adapter);
  const { signal } = request;
  if (route !== 'systemone') return respond(await method(engine, fields as never, { signal }), entry.id, signal);
  const { answerSystemOne } = await import('./system-one.ts');
  const decided = answerSystemOne((asked) => engine.decisions.create(asked, { signal }), fields, entry.id);
  return Response.json(await decided);
}

/** Decodes a name in a path. Invalid escapes stay, and match no model. */
function nameIn(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Adds the adapter that the request's `model` names. */
function withAdapter(fields: Record<string, unknown>, adapter: string | undefined): Record<string, unknown> {
  if (adapter === undefined) return fields;
  if (fields['adapter'] === undefined || fields['adapter'] === null) return { ...fields, adapter };
  throw new HttpError(400, 'bad_request', 'adapter', `model already names the adapter ${adapter}`);
}

type Method = (engine: Served, request: never, options: CallOptions) => Promise<object>;

/** The engine's method for each route. */
const METHODS: Record<string, Method> = {
  'chat/completions': ({ chat }, ...asked) => chat.completions.create(...asked),
  completions: ({ completions }, ...asked) => completions.create(...asked),
  embeddings: ({ embeddings }, ...asked) => embeddings.create(...asked),
  rerank: ({ rerank }, ...asked) => rerank(...asked),
  decisions: ({ decisions }, ...asked) => decisions.create(...asked),
  systemone: ({ decisions }, ...asked) => decisions.create(...asked),
};

/** Responds with a whole answer, or with its chunks, that name the model as the request does. */
async function respond(answered: object, model: string, signal: AbortSignal): Promise<Response> {
  if (!isStream(answered)) return Response.json({ ...answered, model });
  const chunks = answered[Symbol.asyncIterator]();
  // Waiting for the first chunk gives a refused request its own status.
  let taken: IteratorResult<object, void> | undefined = await chunks.next();
  const named: AsyncIterator<object, void> = {
    async next() {
      const next = taken ?? (await chunks.next());
      taken = undefined;
      return next.done ? next : { done: false, value: { ...next.value, model } };
    },
    return: async () => (await chunks.return?.()) ?? { done: true, value: undefined },
  };
  return new Response(eventStream(named, signal), {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  });
}

const isStream = (answer: object): answer is AsyncIterable<object, void> => Symbol.asyncIterator in answer;

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
  if (!isRecord(body)) throw new HttpError(400, 'bad_request', null, 'the body must be a JSON object');
  return body;
}

/**
 * Sends each item as a server-sent event in JSON, then `[DONE]`. An error becomes a last event in OpenAI's form. Pulls items
 * as the reader asks for them; cancelling the stream ends the iteration.
 */
export function eventStream(items: AsyncIterator<unknown, void>, signal: AbortSignal): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const event = (data: string): Uint8Array => encoder.encode(`data: ${data}\n\n`);
  return new ReadableStream({
    start(controller) {
      // The body of an aborted fetch fails the same way.
      const onAbort = (): void => {
        controller.error(signal.reason);
        void items.return?.();
      };
      if (signal.aborted) onAbort(); // between the first item and now
      signal.addEventListener('abort', onAbort);
    },
    async pull(controller) {
      try {
        const { done, value } = await items.next();
        if (signal.aborted) return;
        controller.enqueue(event(done ? '[DONE]' : JSON.stringify(value)));
        if (done) controller.close();
      } catch (error) {
        if (signal.aborted) return;
        controller.enqueue(event(JSON.stringify(describeError(error).body)));
        controller.close();
      }
    },
    async cancel() {
      await items.return?.();
    },
  });
}

/** A model as vLLM lists it. An adapter's parent is the base model. */
export interface ModelEntry {
  id: string;
  object: 'model';
  created: number;
  owned_by: 'chunkwise';
  root: string;
  parent: string | null;
  max_model_len: number;
}

type Models = Pick<Engine, 'model' | 'contextLength' | 'adapters'>;

/** The base model's name: a file's name without folder and extension, or the hub id. */
export function baseId(model: string): string {
  const file = model.replace(/[?#].*$/, '');
  return /([^/\\]+)\.gguf$/i.exec(file)?.[1] ?? model;
}

/** Lists the base model and the loaded adapters. */
export async function listModels(engine: Models): Promise<ModelEntry[]> {
  const base = baseId(engine.model);
  const entry = (id: string, root: string, parent: string | null): ModelEntry => ({
    ...{ id, object: 'model', created: 0, owned_by: 'chunkwise', root, parent, max_model_len: engine.contextLength },
  });
  const adapters: AdapterInfo[] = await engine.adapters.list();
  return [entry(base, engine.model, null), ...adapters.map(({ name }) => entry(name, name, base))];
}

/**
 * Finds the model that a request names; the default is the base model. If an adapter has the base model's short name, the
 * adapter wins; the base model's full name still finds it. Throws 404 `model_not_found`.
 */
export async function findModel(engine: Models, name: unknown): Promise<{ entry: ModelEntry; adapter?: string }> {
  const models = await listModels(engine);
  const [base, ...adapters] = models as [ModelEntry, ...ModelEntry[]];
  const found = adapters.find(({ id }) => id === name);
  if (found) return { entry: found, adapter: found.id };
  if (name === undefined || name === null || name === base.id || name === engine.model) return { entry: base };
  const known = models.map(({ id }) => id).join(', ');
  throw new HttpError(404, 'model_not_found', 'model', `there is no model ${describe(name)}; these are: ${known}`);
}
