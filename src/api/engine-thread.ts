import type { ConfirmLoad, EngineInfo, EngineWorker, LoadOptions, WorkerEvent } from '../../workers/protocol.ts';
import type { ChunkwiseError } from '../errors/chunkwise-error.ts';

type Calls = Omit<EngineWorker, 'hold' | 'load'>;

/** What runs an engine, as its client sees it: a worker in a browser; in Node the same thread. */
export interface EngineThread {
  /** Its calls. Ports are handed over, all else is copied. */
  readonly calls: {
    [Name in keyof Calls]: (...args: Parameters<Calls[Name]>) => Promise<Awaited<ReturnType<Calls[Name]>>>;
  };
  load(
    options: LoadOptions,
    onEvent: (event: WorkerEvent) => void,
    confirm: ConfirmLoad | undefined,
  ): Promise<EngineInfo>;
  /** Ends it at once, whatever it does; no call returns any more. */
  end(): void;
}

/** Starts what runs an engine. `onEnd` is told why it has ended otherwise than by `end`. */
export type StartEngine = (onEnd: (error: ChunkwiseError) => void) => Promise<EngineThread>;
