import type { ChatOptions } from '@mlc-ai/web-llm';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Options of a chat that a request may have too: they are its defaults. */
const REQUEST_FIELDS = ['temperature', 'top_p', 'repetition_penalty', 'frequency_penalty', 'presence_penalty'] as const;

/** What web-llm's overrides of a model's config come to here. Throws `unsupported` for those that have no counterpart. */
export function requestDefaults(options: ChatOptions): { contextLength: number | undefined; defaults: object } {
  const { context_window_size: contextLength, ...rest } = options;
  const fields = Object.entries(rest).filter(([, value]) => value !== undefined && value !== null);
  for (const [name] of fields) {
    if (REQUEST_FIELDS.some((field) => field === name)) continue;
    const reason = 'is of the config of models in MLC format, and this model is not';
    throw new ChunkwiseError('unsupported', { field: `chatOpts.${name}`, reason });
  }
  // MLC writes −1 where a sliding window takes its place.
  return { contextLength: contextLength === -1 ? undefined : contextLength, defaults: Object.fromEntries(fields) };
}
