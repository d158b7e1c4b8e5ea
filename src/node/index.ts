/** The package's exports in Node, the same as in browsers. */
import { checkAvailability } from '../api/check-availability.ts';
import type {
  availability as inBrowsers,
  createEngine as createInBrowsers,
  modelUrl as urlInBrowsers,
} from '../api/browser.ts';
import { modelUrlBy } from '../api/options.ts';
import { openEngine } from '../api/open-engine.ts';
import { fileOrUrl } from './model-files.ts';
import { NODE } from './platform.ts';
import { keepOnDisk } from './storage-host.ts';

export { DEFAULT_KV_ERROR_BUDGET } from '../cache/policy.ts';
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
