import type { StartEngine } from './engine-thread.ts';
import type { ToUrl } from './options.ts';

/** What engines stand on: a browser's page, or Node. */
export interface Platform {
  toUrl: ToUrl;
  /** Asks that what is stored stays, where it might be given up. */
  persist(): void;
  startEngine: StartEngine;
  /** Throws `no_webgpu`. */
  gpu(): Promise<GPU>;
  /** Of the device, roughly; undefined where it is not told. `isAll`: it has no more. */
  memory(): { gib: number; isAll: boolean } | undefined;
  /** Bytes of the model at a URL that leads to no server; undefined where it leads to one. */
  localBytes(url: string): Promise<number> | undefined;
}
