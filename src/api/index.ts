/** Exports of the package. */
export { DEFAULT_KV_ERROR_BUDGET } from '../cache/policy.ts';
export { ChunkwiseError } from '../errors/chunkwise-error.ts';
export type { ErrorCode, ErrorDetail } from '../errors/chunkwise-error.ts';
export type { MemoryCategory, MemoryReport } from '../gpu/buffers.ts';
export { PAGE_FORMS } from '../kernels/formats/page-forms.ts';
export type { PageForm } from '../kernels/formats/page-forms.ts';
export { availability } from './browser.ts';
export { createEngine } from './browser.ts';
export { modelUrl } from './browser.ts';
export { RECOMMENDED_MODELS } from './recommended-models.ts';
export type { RecommendedModel } from './recommended-models.ts';
export type { KvMap } from '../cache/kv-cache.ts';
export type { KvReport } from '../cache/kv-cache.ts';
export type { KvMode, KvPriority } from '../cache/policy.ts';
export type { ConfirmLoad, FoundFiles, StoredEntry } from '../../workers/protocol.ts';
export type { Chunk, ChunkPlan, LevelRule } from '../chunking/chunk-plan.ts';
export type { ChunkerOptions } from '../chunking/chunker.ts';
export type { RampRow } from '../chunking/ramps.ts';
export type { AdapterInfo, AdapterSpectrum, GenerationReport, PlannedChunk, SavedSize } from '../engine/types.ts';
export type { LoadProgress } from '../session/session-options.ts';
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
} from '../measure/device-report.ts';
export type { HubOptions } from '../hub/hub-api.ts';
export type { ChatDocument, ToolDefinition } from '../tokenizer/chat-template.ts';
export type { WeightType } from '../weights/quantize.ts';
export type { Availability } from './engine-types.ts';
export type {
  AnswerFields,
  Calibration,
  CalibrationRequest,
  ChoiceAnswer,
  Decision,
  DecisionAnswer,
  DecisionChoice,
  DecisionExample,
  DecisionInputJson,
  DecisionInputPart,
  DecisionInputText,
  DecisionMessage,
  DecisionPredicate,
  DecisionQuestion,
  DecisionRequest,
  DecisionScore,
  DecisionToolItem,
  Fitted,
  PredicateAnswer,
  RefusalAnswer,
  ScoreAnswer,
} from './decisions/types.ts';
export type {
  AdapterLibrary,
  ArgumentsOf,
  CitationSpan,
  FaithfulnessSpan,
  FunctionAnswer,
  FunctionForm,
  FunctionInfo,
  FunctionRequest,
  FunctionTypes,
  LibraryOptions,
  NoArguments,
  ResultOf,
} from './functions/types.ts';
export type { Json } from '../functions/transform.ts';
export type { JsonSchema, ResponseFormat, StructuredOutputs } from './response-format.ts';
export type { ChatLogprobs, ChatTokenLogprob, TextLogprobs } from './responses.ts';
export type { EmbeddingRequest, EmbeddingResponse } from './embeddings.ts';
export type { CallOptions, Engine, EngineOptions, FallbackOptions, ModelFile, ReloadOptions } from './engine-types.ts';
export type { MeasureDeviceOptions } from './measure-device.ts';
export type { RequestDefaults } from './requests.ts';
export type { EngineEvents, KvEvent, PlanEvent, TokenEvent } from './events.ts';
export type { ChatCompletionRequest, CompletionOptions, CompletionRequest } from './requests.ts';
export type { AdapterRequest, AdapterSource } from './adapters.ts';
export type { ToolChoice } from './chat/parse-chat.ts';
export type { ChatMessage, MessageInput, TextPart } from './chat/parse-chat.ts';
export type { ToolCall } from './chat/tool-calls.ts';
export type { RerankRequest, RerankResponse } from './rerank.ts';
export type {
  AnswerMessage,
  AnswerReport,
  AnsweredBy,
  ChatCompletion,
  ChatCompletionChunk,
  Completion,
  Usage,
} from './responses.ts';
export type { AnswerDelta, FinishReason } from './chat/answer-reader.ts';
