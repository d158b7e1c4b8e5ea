import { BROWSER } from './browser.ts';
import { openEngine } from './open-engine.ts';
import type { Engine, EngineOptions } from './types.ts';

/**
 * Starts a worker, brings the model there, and resolves when it can answer. A downloaded model is kept by the browser. In Node
 * the engine runs in the thread that asks for it, on WebGPU of the package `webgpu`; a model may be the path of a file or a
 * folder, and downloads are kept in the folder that the environment variable `CHUNKWISE_CACHE` names, or the platform's usual
 * place.
 * @throws ChunkwiseError `bad_request` for an option; `no_webgpu`; `unsupported` where the page's Content-Security-Policy
 * lets no worker start; `network`, `bad_file`, `unsupported` for the model or an adapter; `over_limit` before its weights
 * are downloaded, when the device, the storage or `memoryLimitBytes` cannot hold them; `kernel_refused` when this browser
 * or its driver does not compile what the model runs on, `wrong_results` when it is computed wrong; `device_lost` where
 * the GPU stops meanwhile; `storage_lost` where what is downloaded is deleted meanwhile; `aborted`, also where
 * `confirmLoad` says no. With a `fallback`, `no_webgpu`, `kernel_refused`, `wrong_results`, `over_limit` and `device_lost`
 * are not thrown: a server answers.
 */
export function createEngine(options: EngineOptions): Promise<Engine> {
  return openEngine(options, BROWSER);
}
