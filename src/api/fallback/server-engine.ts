import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import { parseHubId } from '../../hub/model-id.ts';
import { describeError } from '../http/http-error.ts';
import { baseId } from '../http/models.ts';
import { ANSWERED_BY } from '../http/serve.ts';
import { checked, describe, refuse } from '../checks.ts';
import { parseCall, parseName } from '../options.ts';
import type { LoadedEngine } from '../reloadable.ts';
import { OWN_FIELDS, parseAdapters } from '../requests.ts';
import type { AdapterInfo, CallOptions, Engine, FallbackOptions } from '../types.ts';
import { isRecord } from '../../config/is-record.ts';
import { ServerClient } from './server-client.ts';

const ANSWERED = { chunkwise: { answeredBy: 'server' } } as const;

interface ServerModels {
  data: { id: string; max_model_len?: number }[];
}

/** What the server is sent of a request. `named`: the model that it names, which may be an adapter that is loaded. */
type FieldsOf = (request: unknown, named?: unknown) => Record<string, unknown>;

/**
 * An engine whose calls a server answers, since the device cannot (`cause`). Adapters are models of the server's, as
 * vLLM names them. What only a device has is `unsupported`. Errors: `network` where the server cannot be reached, `aborted`.
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
    if (!isRecord(request)) refuse('request', `must be an object, but is ${describe(request)}`);
    const adapter = adapterOf(request);
    const given = typeof named === 'string' && loaded.has(named) ? named : undefined;
    return { ...serverFields(request), model: adapter ?? given ?? base };
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
    adapters: adaptersOf(server, loaded),
    ...onlyOnDevice(cause),
    dispose: async () => server.dispose(),
  };
}

const modelsOf = async (server: ServerClient, signal?: AbortSignal): Promise<ServerModels['data']> =>
  (await server.call<ServerModels>('models', undefined, signal)).data;

/** OpenAI's fields and vLLM's, without those of our own. */
const serverFields = (request: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(request).filter(([name]) => !OWN_FIELDS.has(name)));

/** The calls that a route of the server's answers. */
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

/** The adapters that `loaded` holds, by name. */
const adaptersOf = (server: ServerClient, loaded: Map<string, AdapterInfo>): Engine['adapters'] => ({
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

/** What a server has none of. */
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
  const reason = `is not there where a server answers; the device could not: ${cause.message}`;
  throw new ChunkwiseError('unsupported', { field, reason });
};

/** The one adapter that a request names. Errors: `bad_request`; `unsupported` for what a model's name cannot say. */
function adapterOf(request: object): string | undefined {
  const uses = parseAdapters('adapter' in request ? (request.adapter ?? undefined) : undefined);
  const [use] = uses;
  if (uses.length < 2 && (use?.scale ?? 1) === 1) return use?.name;
  const reason = 'must be one adapter, without a scale, where a server answers';
  throw new ChunkwiseError('unsupported', { field: 'adapter', reason });
}

async function* tagged(chunks: AsyncIterable<object>): AsyncGenerator<object, void> {
  for await (const chunk of chunks) yield { ...chunk, ...ANSWERED };
}
