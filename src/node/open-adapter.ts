import { openAsBlob } from 'node:fs';
import { access, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { AdapterSource } from '../adapters/adapter-header.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { FUNCTION_FILES } from '../hub/pick-files.ts';
import { BlobSource, type ByteSource } from '../weights/byte-source.ts';
import { pickleError } from '../errors/pickle-error.ts';
import { FileSource } from './file-source.ts';
import { closeAll, isDirectory } from './model-files.ts';
import { buildAdapterLadder, type LadderBuilder } from '../adapters/rank-ladder.ts';
import { cachedLadders, type LadderStore } from '../adapters/ladder-cache.ts';

export interface OpenAdapter {
  source: AdapterSource;
  /** Opens the file of the adapter's function; undefined if there is none. */
  openDefinition: () => Promise<ByteSource | undefined>;
  close: () => Promise<void>;
}

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const PICKLE = 'adapter_model.bin';

/**
 * Opens an adapter: a PEFT folder, one of its two files, or a GGUF LoRA file. Errors: `bad_file` naming a missing file;
 * `unsupported` if the weights are a pickle.
 */
export async function openAdapter(path: string): Promise<OpenAdapter> {
  if (await isDirectory(path)) return openPeft(path, WEIGHTS);
  const name = basename(path);
  if (name === CONFIG) return openPeft(dirname(path), WEIGHTS);
  if (name.endsWith('.safetensors')) return openPeft(dirname(path), name);
  const gguf = await FileSource.open(path);
  return { source: { gguf }, openDefinition: async () => undefined, close: () => gguf.close() };
}

async function openPeft(folder: string, weightsName: string): Promise<OpenAdapter> {
  const config = await FileSource.open(join(folder, CONFIG));
  try {
    const weights = await FileSource.open(join(folder, weightsName)).catch(async (error: unknown) => {
      const pickle = join(folder, PICKLE);
      throw (await exists(pickle)) ? pickleError(pickle, 'adapter', error) : error;
    });
    return {
      source: { config, weights },
      openDefinition: () => findDefinition(folder),
      close: () => closeAll([config, weights]),
    };
  } catch (error) {
    await config.close();
    throw error;
  }
}

async function findDefinition(folder: string): Promise<ByteSource | undefined> {
  for (const name of FUNCTION_FILES) {
    const path = join(folder, name);
    if (await exists(path)) return new BlobSource(path, await openAsBlob(path));
  }
  return undefined;
}

/** Deepest folder of a library. */
const MOST_FOLDERS = 4;

/** Paths of all files in a folder, relative to it. Errors: `bad_file` if it cannot be read. */
export async function filesIn(folder: string, depth = 0): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: Error) => {
    throw new ChunkwiseError('bad_file', { file: folder, reason: `cannot be read: ${cause.message}` }, { cause });
  });
  const found = entries.map(async (entry) => {
    if (!entry.isDirectory()) return [entry.name];
    const inside = depth < MOST_FOLDERS ? await filesIn(join(folder, entry.name), depth + 1) : [];
    return inside.map((path) => `${entry.name}/${path}`);
  });
  return (await Promise.all(found)).flat();
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Loads rank ladders from `store`, or builds them in this thread. */
export const laddersHere = (store: LadderStore): LadderBuilder =>
  cachedLadders(store, async (adapter, options) => buildAdapterLadder(adapter, options));
