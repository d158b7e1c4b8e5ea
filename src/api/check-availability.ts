import { modelBudget } from '../../workers/browser-device.ts';
import { findModelFiles, unlisted, type WantedFile } from '../../workers/model-sources.ts';
import type { LoadOptions } from '../../workers/protocol.ts';
import { isOffline } from '../../workers/stored-parts.ts';
import { megabytes } from '../util/values.ts';
import { FileDownload } from '../downloads/file-download.ts';
import { describeRemote, type RemoteFile } from '../downloads/remote-file.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { isWhole, nameOf, openPieces, readManifest } from '../storage/model-files.ts';
import { storageHost } from '../storage/storage-host.ts';
import { checked } from './checks.ts';
import { parseEngineOptions } from './options.ts';
import type { Platform } from './platform.ts';
import type { Availability, EngineOptions } from './engine-types.ts';

/** Placeholder for options without a model. */
const NO_MODEL = new Blob();
/** Smallest share of a safetensors model's bytes on the GPU: Q4_1 instead of F32. */
const LEAST_SHARE = 5 / 32;

/** See `availability`. */
export async function checkAvailability(given: Partial<EngineOptions>, platform: Platform): Promise<Availability> {
  const load = checked('options', () =>
    parseEngineOptions({ ...given, model: given.model ?? NO_MODEL }, platform.toUrl),
  );
  try {
    const gpu = await platform.gpu();
    if (!(await gpu.requestAdapter({ powerPreference: 'high-performance', ...load.gpuAdapter })))
      throw new ChunkwiseError('no_webgpu', { reason: 'WebGPU has no adapter here' });
    if (given.model === undefined) return { status: 'available', reason: 'WebGPU has an adapter here' };
    return await checkFiles(load, platform);
  } catch (error) {
    if (!(error instanceof ChunkwiseError)) throw error;
    return { status: 'unavailable', reason: error.message, code: error.code };
  }
}

/** Throws the reason why the model cannot be loaded here. */
async function checkFiles(load: LoadOptions, platform: Platform): Promise<Availability> {
  const files = await filesOf(load, platform);
  const sum = (of: 'bytes' | 'missingBytes'): number => files.reduce((total, file) => total + file[of], 0);
  const [bytes, missingBytes] = [sum('bytes'), sum('missingBytes')];
  const tooLarge = (field: string, reason: string): ChunkwiseError =>
    new ChunkwiseError('over_limit', { file: nameOfModel(load), field, reason });
  const least = files.some(({ name }) => /\.safetensors(?=$|[?#])/.test(name)) ? LEAST_SHARE * bytes : bytes;
  const { memoryLimitBytes = Infinity } = load;
  if (least > memoryLimitBytes)
    throw tooLarge(
      'memoryLimitBytes',
      `needs at least ${megabytes(least)}, but ${megabytes(memoryLimitBytes, Math.floor)} are allowed`,
    );
  const memory = platform.memory();
  if (memory?.isAll && least > memory.gib * 2 ** 30)
    throw tooLarge('memory', `needs at least ${megabytes(least)}, but the device has ${memory.gib} GiB`);
  if (missingBytes === 0) return { status: 'available', reason: 'the whole model is stored' };
  const { quota = Infinity, usage = 0 } = await storageHost.estimate();
  if (missingBytes > quota - usage)
    throw tooLarge(
      'storage',
      `needs ${megabytes(missingBytes)}, but there is room for ${megabytes(quota - usage, Math.floor)}`,
    );
  return {
    status: 'downloadable',
    reason: `${megabytes(missingBytes)} must be downloaded`,
    bytes,
    missingBytes,
  };
}

interface FoundFile {
  name: string;
  bytes: number;
  missingBytes: number;
}

const nameOfModel = ({ model }: LoadOptions): string => (typeof model === 'string' ? model : 'model');

async function filesOf({ model, hub, memoryLimitBytes }: LoadOptions, platform: Platform): Promise<FoundFile[]> {
  if (typeof model !== 'string') {
    const files = await Promise.all(model.map(async (file) => (file instanceof Blob ? file : file.getFile())));
    return files.map((file) => ({ name: file instanceof File ? file.name : '', bytes: file.size, missingBytes: 0 }));
  }
  const local = platform.localBytes(model);
  if (local) return [{ name: model, bytes: await local, missingBytes: 0 }];
  const manifest = await readManifest(model);
  const budget = memoryLimitBytes ?? modelBudget(platform.memory()?.gib);
  const wanted = await findModelFiles(model, hub, budget, { attempts: 1 }).catch((error: unknown) => {
    if (!isWhole(manifest) || !isOffline(error)) throw error;
    return unlisted(manifest.files, error);
  });
  return Promise.all(wanted.map(findFile));
}

/** Compares the stored file with its server's. Throws `network` if neither is known. */
async function findFile(wanted: WantedFile): Promise<FoundFile> {
  const { key } = wanted;
  const stores = await openPieces(await nameOf(key));
  try {
    const whole = stores.find((store) => FileDownload.offline(store) !== undefined)?.note;
    const remote = await describe(wanted).catch((error: unknown) => {
      if (!whole || !isOffline(error)) throw error;
      return undefined;
    });
    if (!remote) return { name: key, bytes: whole?.size ?? 0, missingBytes: 0 };
    const held = stores.find((store) => FileDownload.isOf(remote, store));
    const bytes = remote.size ?? held?.note?.size ?? 0;
    const heldBytes = Math.min(bytes, (held?.pieces.size ?? 0) * (held?.note?.pieceBytes ?? 0));
    return { name: key, bytes, missingBytes: bytes - heldBytes };
  } finally {
    for (const store of stores) store.close();
  }
}

/** Returns the file as its server has it. Throws `network`. */
async function describe({ url, headers, known, unlisted }: WantedFile): Promise<RemoteFile> {
  if (unlisted) throw unlisted;
  return known ? { url, version: '', hasRanges: true, ...known } : describeRemote(url, { headers, attempts: 1 });
}
