import type { ConfirmLoad, EngineInfo, LoadOptions, MethodName, WorkerEvent } from '../../workers/protocol.ts';
import type { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { ToUrl } from './names.ts';

/** The thread that runs an engine: a worker in a browser, the caller's own thread in Node. See `EngineCalls`. */
export interface EngineThread {
  call(name: MethodName, args: readonly unknown[]): Promise<unknown>;
  /** Takes over `port` and copies `args`. Rejects when they cannot be copied. */
  stream(port: MessagePort, name: MethodName, args: readonly unknown[]): Promise<void>;
  load(
    options: LoadOptions,
    onEvent: (event: WorkerEvent) => void,
    confirm: ConfirmLoad | undefined,
  ): Promise<EngineInfo>;
  /** Ends the thread at once; pending calls never settle. */
  end(): void;
}

/** Starts the thread of an engine. Calls `onEnd` when the thread ends for another reason than `end`. */
export type StartEngine = (onEnd: (error: ChunkwiseError) => void) => Promise<EngineThread>;

/** The platform under the API: a browser's page, or Node. */
export interface Platform {
  toUrl: ToUrl;
  /** Asks the browser not to evict what is stored. */
  persist(): void;
  startEngine: StartEngine;
  /** Throws `no_webgpu`. */
  gpu(): Promise<GPU>;
  /** Rough memory of the device; undefined if the platform does not report it. `isAll`: the device has no more. */
  memory(): { gib: number; isAll: boolean } | undefined;
  /** Bytes of a model on this disk; undefined if the URL leads to a server. */
  localBytes(url: string): Promise<number> | undefined;
}
