import type { AdapterFiles, LoadOptions } from '../../workers/protocol.ts';
import type { GpuAdapterOptions } from '../gpu/device.ts';
import type { HubOptions } from '../hub/hub-api.ts';
import { parseHubId } from '../hub/model-id.ts';
import type { WeightType } from '../weights/quantize.ts';
import { isPickleName, pickleError } from '../errors/pickle-error.ts';
import { isRecord } from '../config/is-record.ts';
import {
  checkBoolean,
  checkInteger,
  checkList,
  checkNumber,
  checkOneOf,
  checkSignal,
  checked,
  describe,
  refuse,
} from './checks.ts';
import type { EngineOptions } from './types.ts';

/** Makes a whole URL of one that may be relative, or in Node a path. Throws a TypeError where it is none. */
export type ToUrl = (text: string) => URL;

/** As a page has it. */
export const pageUrl: ToUrl = (text) => new URL(text, globalThis.document?.baseURI ?? location.href);

const OPTIONS: Record<keyof EngineOptions, true> = {
  model: true,
  draftModel: true,
  adapters: true,
  hub: true,
  contextLength: true,
  weights: true,
  gpuAdapter: true,
  autotune: true,
  memoryLimitBytes: true,
  queueLimit: true,
  readTimeoutMs: true,
  fallback: true,
  confirmLoad: true,
  onProgress: true,
  signal: true,
  ranks: true,
  kvErrorBudget: true,
  kvMemoryBudget: true,
};
const HUB_OPTIONS: Record<keyof HubOptions, true> = { endpoint: true, token: true };
const GPU_OPTIONS: Record<keyof GpuAdapterOptions, true> = { powerPreference: true, forceFallbackAdapter: true };

/** Refuses what is not among `known`, by name. `within`: the option that they belong to. */
export function refuseUnknown(options: object, known: Readonly<Record<string, true>>, within?: string): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || Object.hasOwn(known, name)) continue;
    const reason = `is not an option; these are: ${Object.keys(known).join(', ')}`;
    refuse(within === undefined ? name : `${within}.${name}`, reason);
  }
}

/** Checks `createEngine`'s options. Throws `bad_request`, naming the field. */
export function parseEngineOptions(options: EngineOptions, toUrl: ToUrl): LoadOptions {
  if (!isRecord(options)) refuse('options', `must be an object, but is ${describe(options)}`);
  refuseUnknown(options, OPTIONS);
  const integer = (name: 'contextLength' | 'memoryLimitBytes' | 'queueLimit', least: number): number | undefined =>
    options[name] === undefined ? undefined : checkInteger(options[name], name, least);
  return {
    model: parseModel(options.model, toUrl),
    draftModel: options.draftModel === undefined ? undefined : parseModel(options.draftModel, toUrl, 'draftModel'),
    hub: parseHub(options.hub, toUrl),
    contextLength: integer('contextLength', 1),
    memoryLimitBytes: integer('memoryLimitBytes', 1),
    weights: checkOneOf(WEIGHTS, options.weights, 'weights'),
    queueLimit: integer('queueLimit', 0),
    readTimeoutMs:
      options.readTimeoutMs === undefined
        ? undefined
        : checkNumber(options.readTimeoutMs, 'readTimeoutMs', 0, Infinity),
    autotunes: options.autotune === undefined ? undefined : checkBoolean(options.autotune, 'autotune'),
    gpuAdapter: parseGpuAdapter(options.gpuAdapter),
  };
}

/** The signal among the options of a call. Throws `bad_request`, naming the field. */
export function parseCall(options: unknown): AbortSignal | undefined {
  if (options === undefined || options === null) return undefined;
  if (!isRecord(options)) refuse('options', `must be an object, but is ${describe(options)}`);
  return checked('options', () => checkSignal(options['signal']));
}

/** Checks a name: of an adapter, or of something stored, which may be a long URL. Throws `bad_request`. */
export function parseName(name: unknown): string {
  if (typeof name !== 'string') refuse('name', `must be a string, but is ${describe(name)}`);
  return name === '' ? refuse('name', 'is empty') : name;
}

/** Longest name that a file of the browser's may have, with what comes behind it. */
const MOST_NAME_BYTES = 200;

/** Checks the name of a saved cache. Throws `bad_request`. */
export function parseCacheName(given: unknown): string {
  const name = parseName(given);
  let bytes = 0;
  try {
    bytes = encodeURIComponent(name).length; // as files are named
  } catch {
    refuse('name', 'has half a character');
  }
  return bytes <= MOST_NAME_BYTES
    ? name
    : refuse('name', `takes ${bytes} bytes as a file's name; at most ${MOST_NAME_BYTES} are allowed`);
}

/** Checks the adapters to load with a model. Throws `bad_request`, naming the field. */
export function parseAdapterSources(adapters: unknown, toUrl: ToUrl): (readonly [name: string, AdapterFiles])[] {
  if (adapters === undefined) return [];
  if (!isRecord(adapters)) refuse('adapters', `must be an object of adapters by name, but is ${describe(adapters)}`);
  return Object.entries(adapters).map(([name, source]) => [
    parseName(name),
    parseAdapterSource(source, toUrl, `adapters.${name}`),
  ]);
}

/** Checks an adapter's files. Throws `bad_request`, naming the field; `unsupported` for a pickle. */
export function parseAdapterSource(source: unknown, toUrl: ToUrl, field = 'source'): AdapterFiles {
  if (typeof source === 'string') {
    if (isPickleName(source)) throw pickleError(source, 'adapter');
    if (parseHubId(source)) return { hub: source };
    return {
      folder: folderAt(parseUrl(source, field, toUrl)),
      config: fileIn(source, 'adapter_config.json', field, toUrl),
      weights: fileIn(source, 'adapter_model.safetensors', field, toUrl),
    };
  }
  if (!isRecord(source)) refuse(field, `must be a URL or an object of files, but is ${describe(source)}`);
  const { gguf, config, weights } = source;
  if (typeof gguf === 'string') return { gguf: parseUrl(gguf, `${field}.gguf`, toUrl) };
  if (gguf !== undefined) return { gguf: parseBlob(gguf, `${field}.gguf`) };
  return { config: parseBlob(config, `${field}.config`), weights: parseBlob(weights, `${field}.weights`) };
}

function parseBlob(file: unknown, field: string): Blob {
  return file instanceof Blob ? file : refuse(field, `must be a Blob, but is ${describe(file)}`);
}

/** The URL of a folder, which ends in a slash, but for its query (a token, as a rule). */
function folderAt(url: string): string {
  const folder = new URL(url);
  folder.pathname = folder.pathname.replace(/\/?$/, '/');
  return folder.href;
}

/** The URL of a file in a folder, whose query it keeps. */
function fileIn(folder: string, name: string, field: string, toUrl: ToUrl): string {
  const url = new URL(folderAt(parseUrl(folder, field, toUrl)));
  url.pathname += name;
  return url.href;
}

/** What may be stored under a name: the name itself, and where it is the address of a file or a folder its URL. */
export function namesOfStored(name: string, toUrl: ToUrl): string[] {
  try {
    const { href } = toUrl(name);
    return [name, href, folderAt(href)];
  } catch {
    return [name];
  }
}

function parseUrl(url: string, field: string, toUrl: ToUrl): string {
  let parsed: URL;
  try {
    parsed = toUrl(url);
  } catch {
    return refuse(field, `${describe(url)} is not a URL`);
  }
  if (parsed.username !== '' || parsed.password !== '')
    refuse(field, 'has a name or a password in it, which browsers do not send');
  return parsed.href;
}

/** A hub id as it is, anything else as an absolute URL. Throws `bad_request`. */
export function parseModelName(model: string, toUrl: ToUrl, field = 'model'): string {
  if (model === '') refuse(field, 'is empty');
  if (isPickleName(model)) throw pickleError(model, 'model');
  return parseHubId(model) ? model : parseUrl(model, field, toUrl);
}

export function parseModel(model: unknown, toUrl: ToUrl, field = 'model'): LoadOptions['model'] {
  if (typeof model === 'string') return parseModelName(model, toUrl, field);
  const files = Array.isArray(model) ? checkList(model, field) : [model];
  if (files.length === 0) refuse(field, 'no file was given');
  return files.map((file) => {
    if (!(file instanceof Blob || isFileHandle(file))) {
      refuse(field, `must be a hub id, a URL, a Blob, a file handle or an array of them, but is ${describe(file)}`);
    }
    return file;
  });
}

/** Node has no such class. */
const isFileHandle = (file: unknown): file is FileSystemFileHandle =>
  'FileSystemFileHandle' in globalThis && file instanceof FileSystemFileHandle;

const WEIGHTS = ['F16', 'Q8_0', 'Q4_1', 'stored'] as const satisfies readonly WeightType[];

const POWER = ['low-power', 'high-performance'] as const;

export function parseGpuAdapter(given: unknown): GpuAdapterOptions | undefined {
  if (given === undefined) return undefined;
  if (!isRecord(given)) refuse('gpuAdapter', `must be an object, but is ${describe(given)}`);
  refuseUnknown(given, GPU_OPTIONS, 'gpuAdapter');
  const { powerPreference: asked, forceFallbackAdapter } = given;
  const powerPreference = checkOneOf(POWER, asked, 'gpuAdapter.powerPreference');
  return {
    ...(powerPreference && { powerPreference }),
    forceFallbackAdapter: checkBoolean(forceFallbackAdapter, 'gpuAdapter.forceFallbackAdapter'),
  };
}

/** An error must not show the token. */
export function parseHub(hub: unknown, toUrl: ToUrl): HubOptions {
  if (hub === undefined) return {};
  if (!isRecord(hub)) refuse('hub', `must be an object, but is ${describe(hub)}`);
  refuseUnknown(hub, HUB_OPTIONS, 'hub');
  const { endpoint, token } = hub;
  if (endpoint !== undefined && typeof endpoint !== 'string')
    refuse('hub.endpoint', `must be a URL, but is ${describe(endpoint)}`);
  if (token !== undefined && (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)))
    refuse('hub.token', 'is not a token');
  return {
    ...(endpoint !== undefined && { endpoint: parseUrl(endpoint, 'hub.endpoint', toUrl) }),
    ...(token !== undefined && { token }),
  };
}

const KINDS = ['model', 'adapter', 'text'] as const;

export const parseStoredKind = (kind: unknown): (typeof KINDS)[number] | undefined => checkOneOf(KINDS, kind, 'kind');
