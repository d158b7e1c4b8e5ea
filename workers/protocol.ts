import type { KvMap } from '../src/cache/kv-cache.ts';
import type { MemoryReport } from '../src/gpu/buffers.ts';
import type {
  AdapterInfo,
  ChatExtras,
  GenerateOptions,
  PlanEvent,
  SavedSize,
  EngineCore,
  EngineCoreOptions,
  GenerateEvent,
} from '../src/engine/types.ts';
import type { LoadProgress } from '../src/session/session-options.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import type { ChatTurn } from '../src/tokenizer/chat-template.ts';
import type { StartThread } from './threads.ts';
import type { DeviceEvent } from '../src/measure/measure-device.ts';
/** The contract between the page and the engine's worker. In Node both run in one thread and keep the same contract. */

/** Options of the engine that the page passes on unchanged. */
type PassedOptions = Pick<
  EngineCoreOptions,
  | 'gpuAdapter'
  | 'contextLength'
  | 'memoryLimitBytes'
  | 'weights'
  | 'queueLimit'
  | 'readTimeoutMs'
  | 'autotunes'
  | 'precision'
>;

export interface LoadOptions extends PassedOptions {
  /** A hub id, an absolute URL, or the files themselves. */
  model: string | readonly (Blob | FileSystemFileHandle)[];
  /** A smaller model that drafts the answers. */
  draftModel?: LoadOptions['model'] | undefined;
  hub: HubOptions;
  /** Whether the page runs on an iPhone or iPad; see `isApplePhone`. */
  isApplePhone?: boolean;
}

/** The files of a model or an adapter, before they are downloaded. */
export interface FoundFiles {
  kind: 'model' | 'adapter';
  /** The hub id or URL that the caller gave; for files, the name of the first. */
  name: string;
  /** Bytes of all files. */
  bytes: number;
  /** Bytes that are still to be downloaded. */
  missingBytes: number;
  /** License from the header of a GGUF file or from the hub; only set when something is to be downloaded. */
  license?: string | undefined;
}

/** Returns whether to load the files that were found. */
export type ConfirmLoad = (found: FoundFiles) => boolean | Promise<boolean>;

/** A stored item: a downloaded model or adapter, or the keys and values of a text. */
export interface StoredEntry {
  kind: 'model' | 'adapter' | 'text';
  /** The name under which it was loaded or saved: a hub id, a URL (for a PEFT adapter, its folder's), or a text's name. */
  name: string;
  bytes: number;
}

/** Properties of a loaded model that the page needs. */
export type EngineInfo = Pick<EngineCore, 'model' | 'contextLength' | 'device' | 'chatTraits'>;

/** An adapter's hub id, the absolute URLs of its folder and of the files in it, or the files themselves. */
export type AdapterFiles =
  | { hub: string }
  | { folder: string; config: string; weights: string }
  | { config: Blob; weights: Blob; definition?: Blob }
  | { gguf: string | Blob };

/** A folder of adapters: a hub id, or the absolute URL of a folder. */
export type LibraryPlace = { hub: string } | { folder: string };

export type Prompt = ({ messages: readonly ChatTurn[] } & ChatExtras) | { text: string };

/** A request's options without the functions, which cannot be sent. */
export type SentOptions = Omit<GenerateOptions, 'signal' | 'onPlan' | 'onKv'>;

interface Abortable {
  signal?: AbortSignal | undefined;
}

export type WorkerEvent =
  | { type: 'progress'; event: LoadProgress }
  /** `id`: the request's, as passed to `generate`. */
  | { type: 'plan'; event: PlanEvent & { id: string } }
  | { type: 'kv'; event: KvMap & { id: string } }
  | { type: 'memory'; event: MemoryReport }
  | { type: 'devicelost'; event: { reason: string } };

/** Members of the engine that the page reads once, or that `EngineService` replaces. */
type NotServed = keyof EngineInfo | 'chat' | 'complete' | 'loadAdapter' | 'savedCaches' | 'dispose';

/**
 * Methods of a loaded engine. The page calls them through `RemoteEngine`. A stream is a method that returns an
 * AsyncIterable: its last argument is an object, whose `signal` stays on the page's side.
 */
export interface EngineService extends Omit<EngineCore, NotServed> {
  generate(id: string, prompt: Prompt, options: SentOptions & Abortable): AsyncIterable<GenerateEvent>;
  /** See `Engine.measureDevice`. */
  measureDevice(options: { budgetMs?: number | undefined } & Abortable): AsyncIterable<DeviceEvent>;
  loadAdapter(name: string, files: AdapterFiles): Promise<AdapterInfo>;
  /** The text of a loaded adapter's function.yaml or io.yaml, and its name; undefined if there is none. */
  functionFile(adapter: string): Promise<{ file: string; text: string } | undefined>;
  /** The paths of all files of a library, relative to its folder. */
  libraryFiles(place: LibraryPlace): Promise<string[]>;
  saveCache(name: string): Promise<SavedSize>;
  loadCache(name: string): Promise<SavedSize>;
  stored(): Promise<StoredEntry[]>;
  deleteStored(name: string, kind: StoredEntry['kind'] | undefined): Promise<void>;
  dispose(): void;
}

export type MethodName = keyof EngineService;

type StreamName = {
  [Name in MethodName]: ReturnType<EngineService[Name]> extends AsyncIterable<unknown> ? Name : never;
}[MethodName];

/** Names of the methods that return streams. */
export const STREAMS: Readonly<Record<StreamName, true>> = {
  generate: true,
  embed: true,
  rerank: true,
  scoreLabels: true,
  measureDevice: true,
};

/** `EngineService` as the page calls it: streams are generators, all other methods return promises. */
export type RemoteEngine = {
  [Name in MethodName]: EngineService[Name] extends (...args: infer Args) => infer Result
    ? (
        ...args: Args
      ) => Result extends AsyncIterable<infer Item> ? AsyncGenerator<Item, void> : Promise<Awaited<Result>>
    : never;
};

/** Calls any method of an `EngineService` by its name. */
export interface EngineCalls {
  call(name: MethodName, args: readonly unknown[]): Promise<unknown>;
  /** Serves a stream on `port`; see `readStream`. `args` end with an object without `signal`. */
  stream(port: MessagePort, name: MethodName, args: readonly unknown[]): void;
}

/** The engine's worker, called through comlink. Errors arrive as they were thrown. */
export interface EngineWorker extends EngineCalls {
  /** Takes the lock of this name until the thread ends, and resolves once it holds it. Whoever waits for the lock learns of that end. */
  hold(lock: string): Promise<void>;
  /**
   * `startThread` starts the threads for plans, rank ladders and grammars. `confirm` is called for the model, and for
   * each adapter loaded later.
   */
  load(
    options: LoadOptions,
    onEvent: (event: WorkerEvent) => void,
    startThread: StartThread,
    confirm: ConfirmLoad | undefined,
  ): Promise<EngineInfo>;
}
