import { RECOMMENDED_MODELS, type RecommendedModel } from '../../src/api/index.ts';

/** The hub may tell of newer files. */
export type ListedModel = Pick<RecommendedModel, 'name' | 'id' | 'bytes' | 'cachePerToken' | 'about'>;

/** Models of the families that run here, smallest first. */
export const MODELS: readonly ListedModel[] = RECOMMENDED_MODELS;

/** What comes with the page where it is served with a model. */
const DEFAULT_MODEL = 'models/SmolLM2-135M-Instruct.Q4_1.gguf';
/** Of that file, which is the first of the list too. A larger download is asked about before it begins. */
export const DEFAULT_MODEL_BYTES = RECOMMENDED_MODELS[0]?.bytes ?? 0;

/** The file's name, in an address or behind a hub's id: a model is the same one wherever it was had from. */
export const fileOf = (model: string): string => model.split(/[/:]/).at(-1) ?? '';

/**
 * The model that is served beside the page, or the first of the list where none is. Without a network one of those that
 * were `opened` on this device, latest first.
 */
export async function defaultModel(opened: readonly string[]): Promise<string> {
  const listed = MODELS[0]?.id ?? DEFAULT_MODEL;
  const beside = await fetch(DEFAULT_MODEL, { method: 'HEAD' }).catch(() => undefined);
  if (!beside) return [DEFAULT_MODEL, listed].find((model) => opened.includes(model)) ?? opened[0] ?? listed;
  // Some hosts answer with the page where there is no file.
  const isThere = beside.ok && !(beside.headers.get('Content-Type') ?? '').startsWith('text/html');
  return isThere ? DEFAULT_MODEL : listed;
}
