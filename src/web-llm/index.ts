/**
 * web-llm's API on this runtime. An app switches by importing `chunkwise/web-llm` instead of `@mlc-ai/web-llm`; the types stay
 * the same. web-llm itself runs models in MLC's compiled format, and is loaded only for them; every other model id is a `model`
 * of `createEngine`.
 */
export type * from '@mlc-ai/web-llm';
export { ChunkwiseError } from '../errors/chunkwise-error.ts';
export { CreateMLCEngine, MLCEngine } from './mlc-engine.ts';
export { CreateWebWorkerMLCEngine, WebWorkerMLCEngine, WebWorkerMLCEngineHandler } from './web-worker.ts';
