import { BROWSER } from './browser.ts';
import type { Availability, EngineOptions } from './types.ts';

/**
 * Whether `createEngine` with these options would load a model here, and what it would have to download first, as far as can be
 * told before anything of the model is downloaded: there is WebGPU with an adapter; the model is found, stored or with its
 * server; it takes no more than `memoryLimitBytes`, the device's memory and the storage. Without a model: of WebGPU alone.
 * Errors: `bad_request` for an option.
 */
export async function availability(options: Partial<EngineOptions> = {}): Promise<Availability> {
  return (await import('./check-availability.ts')).checkAvailability(options, BROWSER);
}
