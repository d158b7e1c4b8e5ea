import type { AppConfig } from '@mlc-ai/web-llm';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** A model of this runtime, as `createEngine` takes it; or models in MLC's compiled format, which are web-llm's own. */
export type ModelKind = { runtime: 'chunkwise'; model: string } | { runtime: 'web-llm' };

/**
 * Tells whose a model is without asking web-llm for its list: ids of MLC's format are names without a slash, or have a
 * record with a compiled `model_lib`. A record whose `model` is a GGUF file stands for that file.
 * @throws ChunkwiseError `unsupported` for several models of which one is not in MLC's format.
 */
export function modelKind(modelId: string | readonly string[], appConfig: AppConfig | undefined): ModelKind {
  const ids = typeof modelId === 'string' ? [modelId] : modelId;
  const own = ids.map((id) => ownModel(id, appConfig)).filter((model) => model !== undefined);
  const [model] = own;
  if (model === undefined) return { runtime: 'web-llm' };
  if (ids.length === 1) return { runtime: 'chunkwise', model };
  throw new ChunkwiseError('unsupported', { field: 'modelId', reason: `${model} can only be loaded alone` });
}

/** What `createEngine` is given for an id, unless it is of MLC's format. */
function ownModel(id: string, appConfig: AppConfig | undefined): string | undefined {
  const record = appConfig?.model_list.find(({ model_id }) => model_id === id);
  if (record !== undefined) return isGguf(record.model) ? record.model : undefined;
  return id.includes('/') || isGguf(id) ? id : undefined;
}

const isGguf = (address: string): boolean => /\.gguf([?#].*)?$/.test(address);
