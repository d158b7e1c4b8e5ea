import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** A function's adapter within a library. */
export interface LibraryFunction {
  name: string;
  form: 'alora' | 'lora';
  /** Path of its folder. */
  folder: string;
}

export interface LibraryWish {
  /** Name of the library in errors. */
  file: string;
  /** Names of the loaded model. */
  models: readonly string[];
  /** Name of the base model's folders, if the caller knows it. */
  base: string | undefined;
  /** Functions that the caller wants; undefined: all. */
  functions: readonly string[] | undefined;
}

const FORMS = ['alora', 'lora'] as const;
const CONFIG = 'adapter_config.json';
const MOST_FUNCTIONS = 1000;

/**
 * The functions of a library for one base model, by the paths of its files. Both layouts are read:
 * `FUNCTION/BASE/alora|lora/` and `FUNCTION/alora|lora/BASE/`. Of two forms the activated one is chosen. Errors, naming the
 * library: `bad_request` if no folder or several fit the model, or a wanted function is missing.
 */
export function pickFunctions(
  paths: readonly string[],
  { file, models, base: wanted, functions: names }: LibraryWish,
): { base: string; functions: LibraryFunction[] } {
  const refuse = (field: string, reason: string): never => {
    throw new ChunkwiseError('bad_request', { file, field, reason });
  };
  const found = paths.flatMap((path) => adapterAt(path) ?? []);
  const bases = [...new Set(found.map(({ base }) => base))].sort();
  if (bases.length === 0) return refuse('files', `has no folder FUNCTION/BASE/lora with ${CONFIG}`);
  const fits = bases.filter((base) => models.some((model) => isWithin(base, model)));
  const base = wanted ?? longestOf(fits);
  if (base === undefined || !bases.includes(base)) {
    const known = bases.slice(0, 20).join(', ');
    return refuse('base', `has adapters for ${known}, not for ${wanted ?? models.join(' or ')}; name one as base`);
  }
  const own = found.filter((adapter) => adapter.base === base);
  const all = [...new Set(own.map(({ name }) => name))].sort();
  const missing = names?.find((name) => !all.includes(name));
  if (missing !== undefined)
    refuse('functions', `has no ${missing} for ${base}; it has ${all.slice(0, 50).join(', ')}`);
  if (all.length > MOST_FUNCTIONS) refuse('files', `has ${all.length} functions; at most ${MOST_FUNCTIONS} are read`);
  const functions = all
    .filter((name) => names?.includes(name) ?? true)
    .flatMap((name) => {
      const forms = own.filter((adapter) => adapter.name === name);
      const best = FORMS.map((form) => forms.find((adapter) => adapter.form === form)).find((one) => one !== undefined);
      return best ? { name, form: best.form, folder: best.folder } : [];
    });
  return { base, functions };
}

function adapterAt(path: string): (LibraryFunction & { base: string }) | undefined {
  const [name, first, second, file, ...deeper] = path.split('/');
  if (!name || !first || !second || file !== CONFIG || deeper.length > 0) return undefined;
  const folder = `${name}/${first}/${second}`;
  const isForm = (step: string): step is LibraryFunction['form'] => step === 'alora' || step === 'lora';
  if (isForm(second)) return { name, base: first, form: second, folder };
  return isForm(first) ? { name, base: second, form: first, folder } : undefined;
}

/** Whether a model's name or address has all words of the base's name, one after the other. */
const isWithin = (base: string, model: string): boolean => `-${wordsOf(model)}-`.includes(`-${wordsOf(base)}-`);

const wordsOf = (name: string): string => name.toLowerCase().replace(/[^a-z0-9.]+/g, '-');

const longestOf = (names: readonly string[]): string | undefined => [...names].sort((a, b) => b.length - a.length)[0];
