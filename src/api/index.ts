/** What the package exports. */
export { ChunkwiseError } from '../errors/chunkwise-error.ts';
export type { ErrorCode, ErrorDetail } from '../errors/chunkwise-error.ts';
export type { MemoryCategory, MemoryReport } from '../config/memory-report.ts';
export { createEngine } from './create-engine.ts';
export type * from './types.ts';
