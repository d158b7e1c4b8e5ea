import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Refuses a schema, naming the place in it. */
export function badSchema(at: string, reason: string): never {
  throw new ChunkwiseError('bad_request', { field: `response_format.json_schema.schema${at}`, reason });
}
