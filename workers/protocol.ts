import type { KvMap } from '../src/cache/kv-map.ts';
import type { MemoryReport } from '../src/config/memory-report.ts';
import type {
  AdapterInfo,
  EmbedOptions,
  GenerateOptions,
  LabelRead,
  LoadProgress,
  PlanEvent,
  SavedSize,
} from '../src/engine/types.ts';
import type { GpuAdapterOptions } from '../src/gpu/device.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import type { ChatTurn, ToolDefinition } from '../src/tokenizer/chat-template.ts';
import type { ChatTraits } from '../src/tokenizer/chat-traits.ts';
import type { WeightType } from '../src/weights/quantize.ts';
import type { StartThread } from './open-thread.ts';

export interface LoadOptions {
  /** A hub id, an absolute URL, or the files themselves. */
  model: string | readonly (Blob | FileSystemFileHandle)[];
  /** Drafts its answers. */
  draftModel?: LoadOptions['model'] | undefined;
  hub: HubOptions;
  gpuAdapter?: GpuAdapterOptions | undefined;
  contextLength?: number | undefined;
  memoryLimitBytes?: number | undefined;
  weights?: WeightType | undefined;
  queueLimit?: number | undefined;
  readTimeoutMs?: number | undefined;
  autotunes?: boolean | undefined;
  /** Of the page that asks; see `isApplePhone`. */
  isApplePhone?: boolean;
}

/** What was asked for, once its files are known. */
export interface FoundFiles {
  kind: 'model' | 'adapter';
  /** As it was asked for: a hub id or a URL; of given files the first one's name. */
  name: string;
  /** Of all its files. */
  bytes: number;
  /** Of these, what is still to be downloaded. */
  missingBytes: number;
  /** As the header of a GGUF file or the hub names it, where something is still to be downloaded. */
  license?: string | undefined;
}

/** Whether to go on with what was found. */
export type ConfirmLoad = (found: FoundFiles) => boolean | Promise<boolean>;

/** What the browser stores: a downloaded model or adapter, or a text's keys and values. */
export interface StoredEntry {
  kind: 'model' | 'adapter' | 'text';
  /** As it was loaded or saved: a hub id, a URL, which of a PEFT adapter is its folder's, or the text's name. */
  name: string;
  bytes: number;
}

export interface EngineInfo {
  model: string;
  contextLength: number;
  device: string;
  chat: ChatTraits;
}

/** An adapter's hub id, the absolute URLs of its folder and of the files in it, or the files themselves. */
export type AdapterFiles =
  | { hub: string }
  | { folder: string; config: string; weights: string }
  | { config: Blob; weights: Blob }
  | { gguf: string | Blob };

/** A text, or its tokens. */
export type EmbeddingInput = string | readonly number[];

export type Prompt = { messages: readonly ChatTurn[]; tools?: readonly ToolDefinition[] } | { text: string };

/** A request's options, as far as they can be sent. */
export type SentOptions = Omit<GenerateOptions, 'signal' | 'onPlan' | 'onKv'>;

export type WorkerEvent =
  | { type: 'progress'; event: LoadProgress }
  /** `id`: of the request, as `generate` was given it. */
  | { type: 'plan'; event: PlanEvent & { id: string } }
  | { type: 'kv'; event: KvMap & { id: string } }
  | { type: 'memory'; event: MemoryReport }
  | { type: 'devicelost'; event: { reason: string } };

/** What the engine's worker does for the page, called through comlink. Errors arrive as they were thrown. */
export interface EngineWorker {
  /** Takes the lock of this name for good: who waits for it learns of this thread's end. Resolves when it is taken. */
  hold(lock: string): Promise<void>;
  /**
   * `startThread`: for plans, rank ladders and grammars. `confirm` is asked of the model, and of each adapter that is loaded later.
   */
  load(
    options: LoadOptions,
    onEvent: (event: WorkerEvent) => void,
    startThread: StartThread,
    confirm: ConfirmLoad | undefined,
  ): Promise<EngineInfo>;
  /** Serves the answer's `GenerateEvent`s on `port`; see `readStream`. */
  generate(port: MessagePort, id: string, prompt: Prompt, options: SentOptions): void;
  /** Serves the `TextEmbedding` of each input on `port`. */
  embed(port: MessagePort, inputs: readonly EmbeddingInput[], options: Omit<EmbedOptions, 'signal'>): void;
  /** Serves the `DocumentScore` of each document on `port`. */
  rerank(port: MessagePort, query: string, documents: readonly string[]): void;
  /** Serves the `LabelScores` of each read on `port`. */
  scoreLabels(port: MessagePort, messages: readonly ChatTurn[], reads: readonly LabelRead[]): void;
  /** Serves the `DeviceEvent`s of `Engine.measureDevice` on `port`. */
  measureDevice(port: MessagePort, options: { budgetMs?: number | undefined }): void;
  loadAdapter(name: string, source: AdapterFiles): Promise<AdapterInfo>;
  unloadAdapter(name: string): void;
  adapters(): AdapterInfo[];
  saveCache(name: string): Promise<SavedSize>;
  loadCache(name: string): Promise<SavedSize>;
  stored(): Promise<StoredEntry[]>;
  deleteStored(name: string, kind: StoredEntry['kind'] | undefined): Promise<void>;
  countTokens(messages: readonly ChatTurn[]): number;
  memory(): MemoryReport;
  dispose(): void;
}
