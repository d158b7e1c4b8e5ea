import { ChunkwiseError, type ErrorCode } from '../../errors/chunkwise-error.ts';
import { parseHubId } from '../../hub/hub-api.ts';
import { describeError } from '../http/http-error.ts';
import { baseId, ANSWERED_BY } from '../http/serve.ts';
import { checked, describe, refuse, checkRecord } from '../checks.ts';
import { refuseUnknown } from '../options.ts';
import { parseName, type ToUrl } from '../names.ts';
import type { LoadedEngine, CallOptions, Engine, FallbackOptions } from '../engine-types.ts';
import { parseAdapters } from '../adapters.ts';
import type { AdapterInfo } from '../../engine/types.ts';
import { isRecord } from '../../util/values.ts';
import { ServerClient } from './server-client.ts';
import { isOwnField, parseCall } from '../requests.ts';

const FIELDS: Record<keyof FallbackOptions, true> = { baseURL: true, apiKey: true, model: true, fetch: true };

/** Checks the fallback's options. Throws `bad_request`, naming the field; the error never shows the key. */
export function parseFallback(value: unknown, toUrl: ToUrl): FallbackOptions | undefined {
  if (value === undefined) return undefined;
  const options = checkRecord(value, 'fallback');
  refuseUnknown(options, FIELDS, 'fallback');
  const { baseURL, apiKey, model, fetch } = options;
  const url = typeof baseURL === 'string' ? urlOf(baseURL, toUrl) : undefined;
  if (!url) refuse('fallback.baseURL', `must be a URL, but is ${describe(baseURL)}`);
  if (apiKey !== undefined && (typeof apiKey !== 'string' || !/^[\x20-\x7e]*$/.test(apiKey)))
    refuse('fallback.apiKey', 'must be a string that a header can hold');
  if (model !== undefined && typeof model !== 'string')
    refuse('fallback.model', `must be a string, but is ${describe(model)}`);
  if (fetch !== undefined && typeof fetch !== 'function')
    refuse('fallback.fetch', `must be a function, but is ${describe(fetch)}`);
  return {
    baseURL: url.href,
    ...(apiKey !== undefined && { apiKey }),
    ...(model !== undefined && { model }),
    ...(fetch !== undefined && { fetch: fetch as typeof globalThis.fetch }),
  };
}

/** Returns undefined for text that is no URL. */
function urlOf(text: string, toUrl: ToUrl): URL | undefined {
  try {
    return toUrl(text);
  } catch {
    return undefined;
  }
}

const REASONS: readonly ErrorCode[] = ['no_webgpu', 'kernel_refused', 'wrong_results', 'over_limit', 'device_lost'];

/**
 * Whether a server should answer: the device has no WebGPU, does not compile the kernels, computes them wrong or stops
 * during loading, or the model is too large for it.
 */
export function canFallBack(error: unknown): error is ChunkwiseError {
  return error instanceof ChunkwiseError && REASONS.includes(error.code);
}

const ANSWERED = { chunkwise: { answeredBy: 'server' } } as const;

interface ServerModels {
  data: { id: string; max_model_len?: number }[];
}

/** Returns the fields of a request that the server gets. `named`: the request's model, which may be a loaded adapter. */
type FieldsOf = (request: unknown, named?: unknown) => Record<string, unknown>;

/**
 * An engine whose calls a server answers, because the device cannot (`cause`). Adapters are models of the server, as in
 * vLLM. Features that need a device throw `unsupported`. Errors: `network` if the server cannot be reached, `aborted`.
 */
export async function serverEngine(
  options: FallbackOptions,
  model: string,
  cause: ChunkwiseError,
  signal?: AbortSignal,
): Promise<LoadedEngine> {
  const server = new ServerClient(options);
  const base = options.model ?? parseHubId(model)?.repo ?? baseId(model);
  const found = (await modelsOf(server, signal)).find(({ id }) => id === base);
  const loaded = new Map<string, AdapterInfo>();
  const fieldsOf: FieldsOf = (request, named) => {
    const fields = checkRecord(request, 'request');
    const adapter = adapterOf(fields);
    const given = typeof named === 'string' && loaded.has(named) ? named : undefined;
    return { ...serverFields(fields), model: adapter ?? given ?? base };
  };
  return {
    model: base,
    contextLength: found?.max_model_len ?? 0,
    device: `server at ${server.baseURL}`,
    answeredBy: 'server',
    chat: {
      completions: { create: creates(server, 'chat/completions', fieldsOf) as Engine['chat']['completions']['create'] },
    },
    completions: { create: creates(server, 'completions', fieldsOf) as Engine['completions']['create'] },
    embeddings: { create: creates(server, 'embeddings', fieldsOf) as Engine['embeddings']['create'] },
    rerank: creates(server, 'rerank', fieldsOf) as Engine['rerank'],
    decisions: {
      create: creates(server, 'decisions', fieldsOf) as Engine['decisions']['create'],
      calibrate: refused(cause, 'decisions.calibrate'),
    },
    fetch: fetches(server, fieldsOf),
    adapters: { ...adaptersOf(server, loaded), library: refused(cause, 'adapters.library') },
    functions: { list: refused(cause, 'functions'), call: refused(cause, 'functions') },
    ...onlyOnDevice(cause),
    dispose: async () => server.dispose(),
  };
}

const modelsOf = async (server: ServerClient, signal?: AbortSignal): Promise<ServerModels['data']> =>
  (await server.call<ServerModels>('models', undefined, signal)).data;

/** The fields of OpenAI and vLLM, without those of this package. */
const serverFields = (request: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(request).filter(([name]) => !isOwnField(name)));

/** A method that a route of the server answers. */
const creates =
  (server: ServerClient, route: string, fieldsOf: FieldsOf) =>
  async (request: object, call?: CallOptions): Promise<object> => {
    const signal = parseCall(call);
    const fields = checked('request', () => fieldsOf(request));
    if (fields['stream'] !== true) return { ...(await server.call<object>(route, fields, signal)), ...ANSWERED };
    return tagged(await server.stream<object>(route, fields, signal));
  };

const fetches =
  (server: ServerClient, fieldsOf: FieldsOf): Engine['fetch'] =>
  async (input, init) => {
    const request = new Request(input, init);
    const route = /\/v1\/(.*)$/.exec(request.url)?.[1] ?? '';
    const { method, signal } = request;
    try {
      const body: unknown = method === 'POST' ? await request.json() : undefined;
      const fields = isRecord(body) ? JSON.stringify(fieldsOf(body, body['model'])) : undefined;
      const {
        body: answer,
        status,
        headers,
      } = await server.send(route, { method, ...(fields && { body: fields }) }, signal);
      const type = headers.get('content-type') ?? 'application/json';
      return new Response(answer, { status, headers: { 'content-type': type, [ANSWERED_BY]: 'server' } });
    } catch (error) {
      signal.throwIfAborted();
      const { status, body } = describeError(error);
      return Response.json(body, { status, headers: { [ANSWERED_BY]: 'server' } });
    }
  };

/** Adapters by name, kept in `loaded`. */
const adaptersOf = (server: ServerClient, loaded: Map<string, AdapterInfo>): Omit<Engine['adapters'], 'library'> => ({
  load: async (given) => {
    const name = parseName(given);
    if (!(await modelsOf(server)).some(({ id }) => id === name)) {
      throw new ChunkwiseError('bad_request', {
        file: server.baseURL,
        field: 'name',
        reason: `the server has no model ${name}`,
      });
    }
    const info = {
      name,
      rank: 0,
      modules: 0,
      bytes: 0,
      spectra: [],
      warnings: ['a server answers, and only the server knows what this adapter is'],
    };
    loaded.set(name, info);
    return info;
  },
  unload: async (name) => {
    if (!loaded.delete(name))
      throw new ChunkwiseError('bad_request', { field: 'name', reason: `no adapter ${name} is loaded` });
  },
  list: async () => [...loaded.values()],
});

/** Methods that need a device. */
function onlyOnDevice(cause: ChunkwiseError) {
  const refuses = (field: string): (() => Promise<never>) => refused(cause, field);
  return {
    saveCache: refuses('saveCache'),
    loadCache: refuses('loadCache'),
    cache: { list: refuses('cache'), delete: refuses('cache'), size: refuses('cache') },
    memory: refuses('memory'),
    measureDevice: refuses('measureDevice'),
    countTokens: refuses('countTokens'),
  };
}

const refused = (cause: ChunkwiseError, field: string) => async (): Promise<never> => {
  const reason = `is not available while a server answers; the device could not run the model: ${cause.message}`;
  throw new ChunkwiseError('unsupported', { field, reason });
};

/** The adapter that a request names. Errors: `bad_request`; `unsupported` for several adapters or a scale, which a model's name cannot express. */
function adapterOf({ adapter }: Record<string, unknown>): string | undefined {
  const uses = parseAdapters(adapter ?? undefined);
  const [use] = uses;
  if (uses.length < 2 && (use?.scale ?? 1) === 1) return use?.name;
  const reason = 'must be one adapter without a scale while a server answers';
  throw new ChunkwiseError('unsupported', { field: 'adapter', reason });
}

async function* tagged(chunks: AsyncIterable<object>): AsyncGenerator<object, void> {
  for await (const chunk of chunks) yield { ...chunk, ...ANSWERED };
}
