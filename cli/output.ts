import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

/** A command's result: text, or one JSON object with `--json`. */
export interface Output {
  json: object;
  text: string;
  /** Further text for stderr. */
  report?: string;
}

/** JSON of a failed command with `--json`. */
export function failure(error: unknown): {
  error: { code: string; message: string; file?: string; field?: string; reason?: string };
} {
  if (error instanceof ChunkwiseError) return { error: { code: error.code, message: error.message, ...error.detail } };
  return { error: { code: 'internal', message: error instanceof Error ? error.message : String(error) } };
}
