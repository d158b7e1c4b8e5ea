import { RECOMMENDED_MODELS, type RecommendedModel } from '../../src/api/index.ts';

/** The hub may have newer files. */
export type ListedModel = Pick<RecommendedModel, 'name' | 'id' | 'bytes' | 'cachePerToken' | 'about'>;

/** Models of the supported families, smallest first. */
export const MODELS: readonly ListedModel[] = RECOMMENDED_MODELS;

/** The model that a server may offer beside the page. */
const DEFAULT_MODEL = 'models/SmolLM2-135M-Instruct.Q4_1.gguf';
/** Size of that file, the first of the list too. Larger downloads need the user's consent. */
export const DEFAULT_MODEL_BYTES = RECOMMENDED_MODELS[0]?.bytes ?? 0;

/** The file's name in an address or after a hub id: a model is the same wherever it came from. */
export const fileOf = (model: string): string => model.split(/[/:]/).at(-1) ?? '';

/**
 * The model served beside the page, or the first of the list. Offline: the latest of the models `opened` on this
 * device.
 */
export async function defaultModel(opened: readonly string[]): Promise<string> {
  const listed = MODELS[0]?.id ?? DEFAULT_MODEL;
  const beside = await fetch(DEFAULT_MODEL, { method: 'HEAD' }).catch(() => undefined);
  if (!beside) return [DEFAULT_MODEL, listed].find((model) => opened.includes(model)) ?? opened[0] ?? listed;
  // Some hosts answer with the page for missing files.
  const isThere = beside.ok && !(beside.headers.get('Content-Type') ?? '').startsWith('text/html');
  return isThere ? DEFAULT_MODEL : listed;
}
