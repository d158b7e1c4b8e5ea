/** Hooks for React 18 and later. */
export { ChunkwiseError } from '../errors/chunkwise-error.ts';
export type { ChatRequest, ChatState } from './use-chat.ts';
export { useChat } from './use-chat.ts';
export type { EngineState, UseChunkwiseOptions } from './use-chunkwise.ts';
export { useChunkwise } from './use-chunkwise.ts';
export type * from '../api/index.ts';
