import listed from './models.json';

export interface ListedModel {
  /** The family, and the parameters as its makers tell them. */
  name: string;
  /** Of a file on the Hugging Face hub: owner/repository:file. */
  id: string;
  /** Bytes that a token of the context takes in 16 bits: 4 · layers · heads of keys and values · their size. */
  cachePerToken: number;
  about: string;
}

/** Models of the families that run here, smallest first. What else is told of them comes from the hub. */
export const MODELS: readonly ListedModel[] = listed;

/** What comes with the page where it is served with a model. */
const DEFAULT_MODEL = 'models/SmolLM2-135M-Instruct.Q4_1.gguf';
/** Of that file, which is the first of the list too. A larger download is asked about before it begins. */
export const DEFAULT_MODEL_BYTES = 98_362_432;

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
