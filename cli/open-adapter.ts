import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { AdapterSource } from '../src/adapters/adapter-header.ts';
import { FileSource } from './file-source.ts';

export interface OpenAdapter {
  source: AdapterSource;
  close: () => Promise<void>;
}

export async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** Opens a PEFT directory or a GGUF LoRA file. Errors: `bad_file` naming the file that is not there. */
export async function openAdapter(path: string): Promise<OpenAdapter> {
  if (!(await isDirectory(path))) {
    const gguf = await FileSource.open(path);
    return { source: { gguf }, close: () => gguf.close() };
  }
  const config = await FileSource.open(join(path, 'adapter_config.json'));
  try {
    const weights = await FileSource.open(join(path, 'adapter_model.safetensors'));
    return {
      source: { config, weights },
      close: async () => {
        await Promise.all([config.close(), weights.close()]);
      },
    };
  } catch (error) {
    await config.close();
    throw error;
  }
}
