import { stat } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Platform } from '../api/platform.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { startInProcess } from './engine-thread.ts';
import { fileOrUrl, isFileUrl, modelFiles } from './model-files.ts';
import { openGpu } from './gpu.ts';

export const NODE: Platform = {
  toUrl: fileOrUrl,
  persist: () => undefined,
  startEngine: startInProcess,
  gpu: openGpu,
  memory: () => ({ gib: totalmem() / 2 ** 30, isAll: true }),
  localBytes: (url) => (isFileUrl(url) ? bytesOf(fileURLToPath(url)) : undefined),
};

/** Errors: those of `modelFiles`; `bad_file` naming a missing file. */
async function bytesOf(path: string): Promise<number> {
  const sizes = (await modelFiles(path, 'model')).map(async (file) => {
    const { size } = await stat(file).catch((cause: Error) => {
      throw new ChunkwiseError('bad_file', { file, reason: `cannot be opened: ${cause.message}` }, { cause });
    });
    return size;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
