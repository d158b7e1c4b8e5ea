import type { GgufMetadata } from '../weights/gguf-metadata.ts';

/** Ends of file names that say how a model was quantised: `.Q4_1.gguf`, `-Q4_K_M-00001-of-00002.gguf`, `-f16.gguf`. */
const FILE_SUFFIX = /(?:[.-](?:I?Q\d[a-z0-9_]*|B?F16|F32))?(?:-\d{5}-of-\d{5})?\.gguf$/i;

/** What a base may be called: by its file's name and by its metadata. */
export function baseNames(metadata: GgufMetadata): string[] {
  const fileName = lastPart(metadata.file.replace(/[?#].*$/, '')).replace(FILE_SUFFIX, '');
  const key = (name: string): string | undefined => {
    const value = metadata.get(`general.${name}`);
    return typeof value === 'string' ? value : undefined;
  };
  const parts = [key('basename'), key('size_label'), key('finetune')].filter((part) => part !== undefined);
  const names = [fileName, key('name'), parts.join('-'), key('base_model.0.name')];
  return [...new Set(names.filter((name) => name !== undefined && name !== ''))] as string[];
}

/** Whether one of `names` is the name or path `baseModel`: their last parts agree in letters and digits. */
export const isOneOf = (baseModel: string, names: readonly string[]): boolean =>
  names.some((name) => plain(name) === plain(baseModel));

const lastPart = (path: string): string => path.replace(/[/\\]+$/, '').split(/[/\\]/).at(-1) ?? '';
const plain = (name: string): string => lastPart(name).toLowerCase().replace(/[^a-z0-9]/g, '');
