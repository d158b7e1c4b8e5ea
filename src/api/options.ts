import type { LoadOptions } from '../../workers/protocol.ts';
import type { GpuAdapterOptions } from '../gpu/device.ts';
import { type HubOptions, parseHubId, hubUrl } from '../hub/hub-api.ts';
import type { Precision } from '../models/kernel-candidates.ts';
import type { WeightType } from '../weights/quantize.ts';
import { isPickleName, pickleError } from '../errors/pickle-error.ts';
import {
  checkBoolean,
  checkInteger,
  checkList,
  checkNumber,
  checkOneOf,
  describe,
  refuse,
  checkRecord,
} from './checks.ts';
import type { EngineOptions } from './engine-types.ts';
import { parseUrl, type ToUrl } from './names.ts';

type Check = (value: unknown, field: string, toUrl: ToUrl) => unknown;

const integer =
  (least: number): Check =>
  (value, field) =>
    checkInteger(value, field, least);

/** Options of `createEngine` with their checks. Options without a check are read elsewhere: adapters, requests' defaults, functions. */
const OPTIONS: Record<keyof EngineOptions, Check | undefined> = {
  model: parseModel,
  draftModel: parseModel,
  adapters: undefined,
  hub: parseHub,
  contextLength: integer(1),
  weights: (value, field) => checkOneOf(WEIGHTS, value, field),
  gpuAdapter: parseGpuAdapter,
  autotune: checkBoolean,
  precision: (value, field) => checkOneOf(PRECISIONS, value, field),
  memoryLimitBytes: integer(1),
  queueLimit: integer(0),
  readTimeoutMs: (value, field) => checkNumber(value, field, 0, Infinity),
  fallback: undefined,
  confirmLoad: undefined,
  onProgress: undefined,
  signal: undefined,
  ranks: undefined,
  kvErrorBudget: undefined,
  kvMemoryBudget: undefined,
};
const HUB_OPTIONS: Record<keyof HubOptions, true> = { endpoint: true, token: true };
const GPU_OPTIONS: Record<keyof GpuAdapterOptions, true> = { powerPreference: true, forceFallbackAdapter: true };
const WEIGHTS = ['F16', 'Q8_0', 'Q4_1', 'stored'] as const satisfies readonly WeightType[];
const PRECISIONS = ['exact', 'fast'] as const satisfies readonly Precision[];
const POWER = ['low-power', 'high-performance'] as const;

/** Refuses options that are not `known`. `within`: the option that contains them. */
export function refuseUnknown(options: object, known: object, within?: string): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || Object.hasOwn(known, name)) continue;
    const reason = `is not an option; these are: ${Object.keys(known).join(', ')}`;
    refuse(within === undefined ? name : `${within}.${name}`, reason);
  }
}

/** Checks `createEngine`'s options. Throws `bad_request`, naming the field. */
export function parseEngineOptions(options: EngineOptions, toUrl: ToUrl): LoadOptions {
  const given = checkRecord(options, 'options');
  refuseUnknown(given, OPTIONS);
  const checkedOptions = Object.entries(OPTIONS).map(([name, check]) => {
    const isNeeded = name === 'model'; // its check refuses undefined
    return [name, given[name] === undefined && !isNeeded ? undefined : check?.(given[name], name, toUrl)];
  });
  const { autotune, hub = {}, ...load } = Object.fromEntries(checkedOptions) as Record<string, unknown>;
  return { ...load, hub, autotunes: autotune } as LoadOptions;
}

/** Returns a hub id as it is, and anything else as an absolute URL. Throws `bad_request`. */
function parseModelName(model: string, toUrl: ToUrl, field = 'model'): string {
  if (model === '') refuse(field, 'is empty');
  if (isPickleName(model)) throw pickleError(model, 'model');
  return parseHubId(model) ? model : parseUrl(model, field, toUrl);
}

function parseModel(model: unknown, field: string, toUrl: ToUrl): LoadOptions['model'] {
  if (typeof model === 'string') return parseModelName(model, toUrl, field);
  const files = Array.isArray(model) ? checkList(model, field) : [model];
  if (files.length === 0) refuse(field, 'is an empty array');
  return files.map((file) => {
    if (!(file instanceof Blob || isFileHandle(file))) {
      refuse(field, `must be a hub id, a URL, a Blob, a file handle or an array of them, but is ${describe(file)}`);
    }
    return file;
  });
}

/** Node has no FileSystemFileHandle. */
const isFileHandle = (file: unknown): file is FileSystemFileHandle =>
  'FileSystemFileHandle' in globalThis && file instanceof FileSystemFileHandle;

function parseGpuAdapter(given: unknown, field: string): GpuAdapterOptions {
  const options = checkRecord(given, field);
  refuseUnknown(options, GPU_OPTIONS, field);
  const { powerPreference: power, forceFallbackAdapter } = options;
  return {
    ...(power !== undefined && { powerPreference: checkOneOf(POWER, power, `${field}.powerPreference`) }),
    forceFallbackAdapter: checkBoolean(forceFallbackAdapter, `${field}.forceFallbackAdapter`),
  };
}

/** Checks the hub's options. Errors must not show the token. */
function parseHub(hub: unknown, field: string, toUrl: ToUrl): HubOptions {
  const options = checkRecord(hub, field);
  refuseUnknown(options, HUB_OPTIONS, field);
  const { endpoint, token } = options;
  if (endpoint !== undefined && typeof endpoint !== 'string')
    refuse(`${field}.endpoint`, `must be a URL, but is ${describe(endpoint)}`);
  if (token !== undefined && (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)))
    refuse(`${field}.token`, 'is not a token');
  return {
    ...(endpoint !== undefined && { endpoint: parseUrl(endpoint, `${field}.endpoint`, toUrl) }),
    ...(token !== undefined && { token }),
  };
}

/** See `modelUrl`. */
export function modelUrlBy(toUrl: ToUrl, model: string, hub: HubOptions): string {
  const id = parseHubId(model);
  return id ? hubUrl(id, hub) : parseModelName(model, toUrl);
}
