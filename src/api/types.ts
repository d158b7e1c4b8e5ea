/** The public types: what is written for the API in types/, and what it shares with the engine. */
export type { KvMap } from '../cache/kv-map.ts';
export type { KvReport } from '../cache/kv-report.ts';
export type { KvMode, KvPriority } from '../cache/kv-options.ts';
export type { ConfirmLoad, FoundFiles, StoredEntry } from '../../workers/protocol.ts';
export type { Chunk, ChunkPlan, LevelRule } from '../chunking/chunk-plan.ts';
export type { ChunkerOptions } from '../chunking/chunker.ts';
export type { RampRow } from '../chunking/ramps.ts';
export type {
  AdapterInfo,
  AdapterSpectrum,
  GenerationReport,
  LoadProgress,
  PlannedChunk,
  SavedSize,
} from '../engine/types.ts';
export type { GpuAdapterOptions } from '../gpu/device.ts';
export type {
  ContextSpeeds,
  DecodeSpeed,
  DeviceCeilings,
  DeviceProgress,
  DeviceReport,
  Figure,
  ModelSpeeds,
  NotMeasured,
  PrefillSpeed,
} from '../measure/device/device-report.ts';
export type { HubOptions } from '../hub/hub-api.ts';
export type { ToolDefinition } from '../tokenizer/chat-template.ts';
export type { WeightType } from '../weights/quantize.ts';
export type * from './types/availability.ts';
export type * from './types/decisions.ts';
export type * from './types/decoding.ts';
export type * from './types/embeddings.ts';
export type * from './types/engine.ts';
export type * from './types/events.ts';
export type * from './types/requests.ts';
export type * from './types/rerank.ts';
export type * from './types/responses.ts';
