import type { GgufMetadata } from '../../weights/gguf/gguf-metadata.ts';

/** Ends of file names that say how a model was quantized: `.Q4_1.gguf`, `-Q4_K_M-00001-of-00002.gguf`, `-f16.gguf`. */
const FILE_SUFFIX = /(?:[.-](?:I?Q\d[a-z0-9_]*|B?F16|F32))?(?:-\d{5}-of-\d{5})?\.gguf$/i;
/** What models are called that have no name of their own. */
const NAMELESS = /^((ggml-)?model|weights|base)?$/i;
/** A repository, in an address of the hub and in the cache that its Python library keeps. */
const HUB_PLACES = [/\/([^/]+)\/resolve\//, /models--[^/\\]+--([^/\\]+)[/\\]snapshots[/\\]/];

/**
 * What a base may be called: by its metadata, and by its file's name or address. A safetensors model's metadata come
 * from a `config.json`; the folder that this lies in is a name to be recognised by. None where nothing tells: a folder
 * alone may be called anything, and so may the place that a model was once read from.
 */
export function baseNames(metadata: GgufMetadata): string[] {
  const file = metadata.file.replace(/[?#].*$/, '');
  const key = (name: string): string | undefined => {
    const value = metadata.get(`general.${name}`);
    return typeof value === 'string' ? value : undefined;
  };
  const isGguf = !file.endsWith('.json');
  const fileName = lastPart(file).replace(FILE_SUFFIX, '');
  const parts = [key('basename'), key('size_label'), key('finetune')].filter((part) => part !== undefined);
  const hub = HUB_PLACES.map((place) => place.exec(file)?.[1]).find((name) => name !== undefined);
  const telling = [isGguf ? fileName : hub, key('name'), parts.join('-'), key('base_model.0.name')];
  const names = telling.filter((name) => name !== undefined && !NAMELESS.test(name)) as string[];
  if (names.every(isPath)) return [];
  const folder = isGguf || hub !== undefined ? '' : lastPart(file.replace(/[^/\\]*$/, ''));
  return [...new Set([...names, folder])].filter((name) => name !== '');
}

/** A place on somebody's disk, whose name says little. */
export const isPath = (name: string): boolean => /^([/\\~.]|[a-z]:[/\\])/i.test(name);

/** Whether one of `names` is the name or path `baseModel`: their last parts agree in letters and digits. */
export const isOneOf = (baseModel: string, names: readonly string[]): boolean =>
  names.some((name) => plain(name) === plain(baseModel));

const lastPart = (path: string): string =>
  path
    .replace(/[/\\]+$/, '')
    .split(/[/\\]/)
    .at(-1) ?? '';
/** The same weights in another package: as transformers has them, as GGUF, quantized for training. */
const PACKAGED = /(-(unsloth-)?bnb-[48]bit|-hf|-gguf)$/;
const plain = (name: string): string =>
  lastPart(name)
    .toLowerCase()
    .replace(PACKAGED, '')
    .replace(/[^a-z0-9]/g, '');
