import listed from './models.json';

export interface ListedModel {
  name: string;
  /** Of a file on the Hugging Face hub: owner/repository:file. */
  id: string;
  /** Of the file, about. */
  megabytes: number;
  about: string;
}

/** Models known to run here, smallest first. */
export const MODELS: readonly ListedModel[] = listed;

/** What comes with the page where it is served with a model. */
const DEFAULT_MODEL = 'models/SmolLM2-135M-Instruct.Q4_1.gguf';

/** The model that is served beside the page, or the first of the list where none is. */
export async function defaultModel(): Promise<string> {
  const beside = await fetch(DEFAULT_MODEL, { method: 'HEAD' }).catch(() => undefined);
  // Some hosts answer with the page where there is no file.
  const isThere = beside?.ok === true && !(beside.headers.get('Content-Type') ?? '').startsWith('text/html');
  return isThere ? DEFAULT_MODEL : (MODELS[0]?.id ?? DEFAULT_MODEL);
}
