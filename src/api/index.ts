/** What the package exports. */
export { DEFAULT_KV_ERROR_BUDGET } from '../cache/kv-options.ts';
export { ChunkwiseError } from '../errors/chunkwise-error.ts';
export type { ErrorCode, ErrorDetail } from '../errors/chunkwise-error.ts';
export type { MemoryCategory, MemoryReport } from '../config/memory-report.ts';
export { PAGE_FORMS } from '../kernels/formats/page-forms.ts';
export type { PageForm } from '../kernels/formats/page-forms.ts';
export { availability } from './availability.ts';
export { createEngine } from './create-engine.ts';
export { modelUrl } from './model-url.ts';
export { RECOMMENDED_MODELS } from './recommended-models.ts';
export type { RecommendedModel } from './recommended-models.ts';
export type * from './types.ts';
