/** What the package exports in Node: the same as in browsers. */
import { checkAvailability } from '../api/check-availability.ts';
import type { availability as inBrowsers } from '../api/availability.ts';
import type { createEngine as createInBrowsers } from '../api/create-engine.ts';
import { modelUrlBy, type modelUrl as urlInBrowsers } from '../api/model-url.ts';
import { openEngine } from '../api/open-engine.ts';
import { fileOrUrl } from './file-url.ts';
import { NODE } from './platform.ts';
import { keepOnDisk } from './storage-host.ts';

export { DEFAULT_KV_ERROR_BUDGET } from '../cache/kv-options.ts';
export { ChunkwiseError } from '../errors/chunkwise-error.ts';
export { PAGE_FORMS } from '../kernels/formats/page-forms.ts';
export { RECOMMENDED_MODELS } from '../api/recommended-models.ts';
export type * from '../api/index.ts';

export const createEngine: typeof createInBrowsers = (options) => openEngine(options, NODE);

export const availability: typeof inBrowsers = async (options = {}) => {
  keepOnDisk();
  return checkAvailability(options, NODE);
};

export const modelUrl: typeof urlInBrowsers = (model, hub = {}) => modelUrlBy(fileOrUrl, model, hub);
