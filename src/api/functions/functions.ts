import type { AdapterFiles, LibraryPlace, RemoteEngine } from '../../../workers/protocol.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import { type FunctionConfig, readFunctionConfig } from '../../functions/function-config.ts';
import { argumentsOf } from '../../functions/instruction.ts';
import { type LibraryFunction, pickFunctions } from '../../functions/library.ts';
import { rewrite } from '../../functions/rewrite.ts';
import { type AnswerToken, type Json, transform } from '../../functions/transform.ts';
import type { parseAdapterSource } from '../adapters.ts';
import type { parseDocumentList, parseMessages } from '../chat/parse-chat.ts';
import { checked, checkFilled, checkList, checkRecord, checkText, fieldsOf, optional, refuse } from '../checks.ts';
import type { CallOptions } from '../engine-types.ts';
import type { ChatCompletionRequest } from '../requests.ts';
import type { ChatCompletion, ChatLogprobs } from '../responses.ts';
import type { AdapterLibrary, FunctionAnswer, FunctionInfo } from './types.ts';

/** Likeliest tokens that `likelihood` reads at each place, as in granite-common. */
const TOP_LOGPROBS = 10;

interface Known extends LibraryFunction {
  /** As the caller named it. */
  library: string;
  files: AdapterFiles;
  loading?: Promise<void> | undefined;
}

/** What functions need of the engine. Imported here, the parsers would leave the chunk that every page loads. */
export interface FunctionHost {
  engine: RemoteEngine;
  /** The model's name, and the option that names it or has its files. */
  names: readonly unknown[];
  chat: (request: ChatCompletionRequest & { stream?: false }, call?: CallOptions) => Promise<ChatCompletion>;
  parse: FunctionParsers & {
    adapter: (source: unknown) => ReturnType<typeof parseAdapterSource>;
    /** Throws what `chat` throws for a request before it reaches the engine. */
    chat: (request: ChatCompletionRequest) => unknown;
  };
}

export interface FunctionParsers {
  messages: typeof parseMessages;
  documents: typeof parseDocumentList;
}

/** The functions of a loaded model: those of libraries, and adapters with a function's file. */
export class Functions {
  /** Functions of libraries, by name. */
  readonly #known = new Map<string, Known>();
  /** By adapter. A name may be loaded again with another file, so each entry keeps the text. */
  readonly #configs = new Map<string, { text: string; config: FunctionConfig }>();

  constructor(private readonly host: FunctionHost) {}

  /** See `Engine.adapters.library`. */
  async library(source: unknown, given: unknown): Promise<AdapterLibrary> {
    const { place, files, ...wish } = checked('source', () => parseLibrary(source, given, this.host));
    const library = 'hub' in place ? place.hub : place.folder;
    const paths = files ?? (await this.host.engine.libraryFiles(place));
    const { base, functions } = pickFunctions(paths, {
      file: library,
      models: this.host.names.filter(isText),
      ...wish,
    });
    const taken = functions.find(({ name }) => (this.#known.get(name)?.library ?? library) !== library);
    if (taken) {
      const reason = `${taken.name} is a function of ${this.#known.get(taken.name)?.library} already; name others`;
      throw new ChunkwiseError('bad_request', { file: library, field: 'functions', reason });
    }
    for (const own of functions) {
      const at =
        'hub' in place
          ? `${place.hub}:${own.folder}`
          : new URL(encodePath(own.folder), withoutQuery(place.folder)).href;
      const known = { ...own, library, files: this.host.parse.adapter(withQueryOf(place, at)) };
      // Listed again for another base, it has another folder.
      if (this.#known.get(own.name)?.folder !== own.folder) this.#known.set(own.name, known);
    }
    const names = new Set(functions.map(({ name }) => name));
    return { base, functions: (await this.list()).filter(({ name }) => names.has(name)) };
  }

  /** See `Engine.functions.list`. */
  async list(): Promise<FunctionInfo[]> {
    const adapters = await this.host.engine.adapters();
    const loaded = new Map<string, Pick<FunctionInfo, 'arguments' | 'problem'>>();
    for (const { name } of adapters) {
      try {
        const config = await this.#configOf(name);
        if (config) loaded.set(name, { arguments: argumentsOf(config.instruction) });
      } catch (error) {
        if (!(error instanceof ChunkwiseError)) throw error;
        loaded.set(name, { problem: error.message });
      }
    }
    const ofLibraries = [...this.#known.values()].map(({ name, library, form }) => ({ name, library, form }));
    const others = [...loaded.keys()].filter((name) => !this.#known.has(name)).map((name) => ({ name }));
    return [...ofLibraries, ...others].map((info) => ({
      ...info,
      isLoaded: loaded.has(info.name),
      ...loaded.get(info.name),
    }));
  }

  /** See `Engine.functions.call`. */
  async call(given: unknown, request: unknown, call?: CallOptions): Promise<FunctionAnswer<Json>> {
    const name = checkFilled(given, 'name');
    const { messages, documents, args } = checked('request', () => parseFunctionRequest(request, this.host.parse));
    await this.#load(name);
    const config = await this.#configOf(name);
    if (!config) {
      const loaded = (await this.host.engine.adapters()).some((adapter) => adapter.name === name);
      return refuse('name', loaded ? `the adapter ${name} has no function.yaml` : `no function ${name} is known`);
    }
    const asked = rewrite(config, messages, documents, args);
    const hasLikelihood = config.transformations.some(({ type }) => type === 'likelihood');
    const hasTokens = hasLikelihood || config.readsFinalChannel;
    const answer = await this.host.chat(
      {
        ...optionsOf(config),
        messages: asked.messages as ChatCompletionRequest['messages'],
        ...(asked.documents && { documents: asked.documents }),
        ...(hasTokens && { logprobs: true, top_logprobs: TOP_LOGPROBS }),
        adapter: name,
        ranks: 'uniform',
        stream: false,
      },
      call,
    );
    const [choice] = answer.choices;
    const content = choice?.message.content ?? '';
    if (choice?.finish_reason === 'length') {
      const reason = `the answer needs more than ${answer.usage.completion_tokens} tokens`;
      throw new ChunkwiseError('over_limit', { file: config.file, field: 'parameters.max_completion_tokens', reason });
    }
    const result = transform(config, {
      content,
      tokens: choice?.logprobs ? tokensOf(choice.logprobs) : undefined,
      sentencesOf: (places) => asked.sentencesOf(places),
    });
    return { name, result, content, usage: answer.usage, chunkwise: answer.chunkwise };
  }

  /** Loads the adapter of a library's function, once. */
  async #load(name: string): Promise<void> {
    const known = this.#known.get(name);
    if (!known) return;
    const { engine } = this.host;
    if (!known.loading && (await engine.adapters()).some((adapter) => adapter.name === name)) return;
    known.loading ??= engine
      .loadAdapter(name, known.files)
      .then(() => undefined)
      .finally(() => (known.loading = undefined));
    await known.loading;
  }

  /** The checked file of a loaded adapter's function; undefined if it has none. */
  async #configOf(name: string): Promise<FunctionConfig | undefined> {
    const found = await this.host.engine.functionFile(name);
    if (!found) return undefined;
    const before = this.#configs.get(name);
    if (before?.text === found.text) return before.config;
    const config = readFunctionConfig(found.text, found.file);
    checkOptions(config, this.host);
    this.#configs.set(name, { text: found.text, config });
    return config;
  }
}

/** What a function's file says about a request. Answers are the likeliest unless it sets a temperature. */
function optionsOf({ schema, parameters, extraParameters }: FunctionConfig): Omit<ChatCompletionRequest, 'messages'> {
  return {
    temperature: 0,
    ...parameters,
    ...extraParameters,
    ...(schema !== undefined && { response_format: { type: 'json_schema', json_schema: { name: 'result', schema } } }),
  };
}

/** Refuses options that no request may have. Throws `bad_file`, naming the field in the function's file. */
function checkOptions(config: FunctionConfig, { parse }: FunctionHost): void {
  try {
    parse.chat({ messages: [{ role: 'user', content: '' }], ...optionsOf(config) });
  } catch (error) {
    if (!(error instanceof ChunkwiseError)) throw error;
    const { field = '', reason } = error.detail;
    const at = field.startsWith('response_format') ? 'response_format' : `parameters.${field}`;
    throw new ChunkwiseError('bad_file', { file: config.file, field: at, reason }, { cause: error });
  }
}

/** Tokens whose lengths add up to the answer's: a token may be a part of a character. */
function tokensOf({ content }: ChatLogprobs): AnswerToken[] {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return content.map(({ token, logprob, bytes, top_logprobs }) => {
    const length = bytes ? decoder.decode(Uint8Array.from(bytes), { stream: true }).length : token.length;
    return { token, logprob, top_logprobs, length };
  });
}

/** Checks the request of a call. Throws `bad_request`, naming the field. */
export function parseFunctionRequest(request: unknown, parse: FunctionParsers) {
  const fields = fieldsOf(request, 'request', ['messages', 'documents', 'arguments']);
  const given = optional(fields['arguments'], 'arguments', checkRecord);
  const args = Object.entries(given ?? {})
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, checkText(value, `arguments.${name}`)] as const);
  return {
    messages: parse.messages(fields['messages']),
    documents: fields['documents'] === undefined ? undefined : parse.documents(fields['documents']),
    args: Object.fromEntries(args),
  };
}

function parseLibrary(source: unknown, given: unknown, { parse }: FunctionHost) {
  const fields = fieldsOf(given ?? {}, 'options', ['base', 'functions', 'files']);
  const texts = (value: unknown, at: string): string[] =>
    checkList(value, at).map((text, i) => checkFilled(text, `${at}[${i}]`));
  const name = checkFilled(source, 'source');
  const place = parse.adapter(name);
  if (!('hub' in place || 'folder' in place)) throw new Error('a text names a hub id or a folder');
  if ('hub' in place && place.hub.includes(':')) refuse('source', 'must be a repository, not a folder in it');
  return {
    place,
    base: optional(fields['base'], 'options.base', checkFilled),
    functions: optional(fields['functions'], 'options.functions', texts),
    files: optional(fields['files'], 'options.files', texts),
  };
}

const isText = (name: unknown): name is string => typeof name === 'string';

const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

const withoutQuery = (url: string): string => Object.assign(new URL(url), { search: '', hash: '' }).href;

/** Keeps the query of a folder, usually a token. */
function withQueryOf(place: LibraryPlace, at: string): string {
  return 'hub' in place ? at : Object.assign(new URL(at), { search: new URL(place.folder).search }).href;
}
