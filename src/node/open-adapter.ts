import { access } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { AdapterSource } from '../adapters/formats/adapter-header.ts';
import { pickleError } from '../errors/pickle-error.ts';
import { FileSource } from './file-source.ts';
import { closeAll, isDirectory } from './model-files.ts';

export interface OpenAdapter {
  source: AdapterSource;
  close: () => Promise<void>;
}

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const PICKLE = 'adapter_model.bin';

/**
 * Opens an adapter: a PEFT directory, one of its two files, or a GGUF LoRA file. Errors: `bad_file` naming the file that
 * is not there; `unsupported` where the weights are a pickle.
 */
export async function openAdapter(path: string): Promise<OpenAdapter> {
  if (await isDirectory(path)) return openPeft(path, WEIGHTS);
  const name = basename(path);
  if (name === CONFIG) return openPeft(dirname(path), WEIGHTS);
  if (name.endsWith('.safetensors')) return openPeft(dirname(path), name);
  const gguf = await FileSource.open(path);
  return { source: { gguf }, close: () => gguf.close() };
}

async function openPeft(folder: string, weightsName: string): Promise<OpenAdapter> {
  const config = await FileSource.open(join(folder, CONFIG));
  try {
    const weights = await FileSource.open(join(folder, weightsName)).catch(async (error: unknown) => {
      const pickle = join(folder, PICKLE);
      throw (await exists(pickle)) ? pickleError(pickle, 'adapter', error) : error;
    });
    return { source: { config, weights }, close: () => closeAll([config, weights]) };
  } catch (error) {
    await config.close();
    throw error;
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
