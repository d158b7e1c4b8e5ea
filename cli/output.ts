import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

/** What a command prints: the same as text, or as one JSON object with `--json`. */
export interface Output {
  json: object;
  text: string;
  /** Of the text: what is told beside it, on stderr. */
  report?: string;
}

/** What a command that failed prints with `--json`. */
export function failure(error: unknown): {
  error: { code: string; message: string; file?: string; field?: string; reason?: string };
} {
  if (error instanceof ChunkwiseError) return { error: { code: error.code, message: error.message, ...error.detail } };
  return { error: { code: 'internal', message: error instanceof Error ? error.message : String(error) } };
}
