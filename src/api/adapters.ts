import type { AdapterFiles } from '../../workers/protocol.ts';
import type { AdapterUse } from '../engine/types.ts';
import { isPickleName, pickleError } from '../errors/pickle-error.ts';
import { parseHubId } from '../hub/hub-api.ts';
import { checkList, checkNumber, checkText, describe, refuse, checkRecord } from './checks.ts';
import { folderAt, parseName, parseUrl, type ToUrl } from './names.ts';

/**
 * A LoRA adapter's files: a hub id (also of a folder in a repository: `owner/repo:folder`), the URL of a PEFT directory, its
 * files (adapter_config.json, adapter_model.safetensors, and function.yaml if it is a function), or a GGUF file. In Node a
 * path counts as a URL.
 */
export type AdapterSource = string | { config: Blob; weights: Blob; definition?: Blob } | { gguf: string | Blob };

export interface AdapterRequest {
  name: string;
  /** Factor of the adapter's change, −100 to 100. Default: 1. */
  scale?: number;
}

/** Checks the adapters that a request names. Throws `bad_request`, naming the field. */
export function parseAdapters(value: unknown = [], field = 'adapter'): AdapterUse[] {
  if (typeof value === 'string') return [{ name: value, scale: 1 }];
  return checkList(value, field, 'a name or an array').map((use, i) => {
    const at = `${field}[${i}]`;
    const { name, scale = 1 } = checkRecord(use, at);
    return { name: checkText(name, `${at}.name`), scale: checkNumber(scale, `${at}.scale`, -100, 100) };
  });
}

/** Checks the adapters to load with a model. Throws `bad_request`, naming the field. */
export function parseAdapterSources(adapters: unknown, toUrl: ToUrl): (readonly [name: string, AdapterFiles])[] {
  if (adapters === undefined) return [];
  return Object.entries(checkRecord(adapters, 'adapters', 'an object of adapters by name')).map(([name, source]) => [
    parseName(name),
    parseAdapterSource(source, toUrl, `adapters.${name}`),
  ]);
}

/** Checks an adapter's files. Throws `bad_request`, naming the field; `unsupported` for a pickle. */
export function parseAdapterSource(source: unknown, toUrl: ToUrl, field = 'source'): AdapterFiles {
  if (typeof source === 'string') {
    if (isPickleName(source)) throw pickleError(source, 'adapter');
    if (parseHubId(source)) return { hub: source };
    const folder = folderAt(parseUrl(source, field, toUrl));
    return {
      folder,
      config: fileIn(folder, 'adapter_config.json'),
      weights: fileIn(folder, 'adapter_model.safetensors'),
    };
  }
  const { gguf, config, weights, definition } = checkRecord(source, field, 'a URL or an object of files');
  if (typeof gguf === 'string') return { gguf: parseUrl(gguf, `${field}.gguf`, toUrl) };
  if (gguf !== undefined) return { gguf: parseBlob(gguf, `${field}.gguf`) };
  return {
    config: parseBlob(config, `${field}.config`),
    weights: parseBlob(weights, `${field}.weights`),
    ...(definition !== undefined && { definition: parseBlob(definition, `${field}.definition`) }),
  };
}

function parseBlob(file: unknown, field: string): Blob {
  return file instanceof Blob ? file : refuse(field, `must be a Blob, but is ${describe(file)}`);
}

/** The URL of a file in a folder; it keeps the folder's query. */
function fileIn(folder: string, name: string): string {
  const url = new URL(folder);
  url.pathname += name;
  return url.href;
}
