/**
 * web-llm's API on this runtime: an app switches by importing `chunkwise/web-llm` in place of `@mlc-ai/web-llm`, whose
 * types these are. Models in MLC's compiled format go to web-llm itself, which is loaded for them alone; every other
 * model id is a `model` of `createEngine`.
 */
export type * from '@mlc-ai/web-llm';
export { ChunkwiseError } from '../errors/chunkwise-error.ts';
export { CreateMLCEngine, MLCEngine } from './mlc-engine.ts';
export { CreateWebWorkerMLCEngine, WebWorkerMLCEngine, WebWorkerMLCEngineHandler } from './web-worker.ts';
