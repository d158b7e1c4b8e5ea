import type { AdapterInfo, Engine } from '../types.ts';
import { describe } from '../checks.ts';
import { HttpError } from './http-error.ts';

/** A model as vLLM lists it: an adapter's parent is its base. */
export interface ModelEntry {
  id: string;
  object: 'model';
  created: number;
  owned_by: 'chunkwise';
  root: string;
  parent: string | null;
  max_model_len: number;
}

type Models = Pick<Engine, 'model' | 'contextLength' | 'adapters'>;

/** What the base is called: a file by its name, without folder and ending. */
export function baseId(model: string): string {
  const file = model.replace(/[?#].*$/, '');
  return /([^/\\]+)\.gguf$/i.exec(file)?.[1] ?? model;
}

/** The base, and the loaded adapters beside it. */
export async function listModels(engine: Models): Promise<ModelEntry[]> {
  const base = baseId(engine.model);
  const entry = (id: string, root: string, parent: string | null): ModelEntry => ({
    ...{ id, object: 'model', created: 0, owned_by: 'chunkwise', root, parent, max_model_len: engine.contextLength },
  });
  const adapters: AdapterInfo[] = await engine.adapters.list();
  return [entry(base, engine.model, null), ...adapters.map(({ name }) => entry(name, name, base))];
}

/**
 * The model that a request names, or the base where it names none: an adapter whose name is the base's goes before it,
 * which has another one. Throws 404 `model_not_found`.
 */
export async function findModel(engine: Models, name: unknown): Promise<{ entry: ModelEntry; adapter?: string }> {
  const models = await listModels(engine);
  const [base, ...adapters] = models as [ModelEntry, ...ModelEntry[]];
  const found = adapters.find(({ id }) => id === name);
  if (found) return { entry: found, adapter: found.id };
  if (name === undefined || name === null || name === base.id || name === engine.model) return { entry: base };
  const known = models.map(({ id }) => id).join(', ');
  throw new HttpError(404, 'model_not_found', 'model', `there is no model ${describe(name)}; these are: ${known}`);
}
