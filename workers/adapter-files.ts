import { wrap } from 'comlink';
import type { AdapterSource } from '../src/adapters/adapter-header.ts';
import type { LadderBuilder } from '../src/adapters/adapter-ladder.ts';
import { cachedLadders } from '../src/adapters/ladder-cache.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { BlobSource } from '../src/weights/blob-source.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import { ladderStore } from './ladder-store.ts';
import type { LadderWorker } from './ladder.worker.ts';
import LadderThread from './ladder.worker.ts?worker&inline';
import type { AdapterFiles } from './protocol.ts';
import { describeRemote, readRemote } from './remote-file.ts';

/** An adapter's files, ready to be read; those given as URLs are downloaded into memory. Throws `network`. */
export async function openAdapter(files: AdapterFiles): Promise<AdapterSource> {
  if ('gguf' in files) return { gguf: await open(files.gguf, 'adapter.gguf') };
  const [config, weights] = await Promise.all([
    open(files.config, 'adapter_config.json'),
    open(files.weights, 'adapter_model.safetensors'),
  ]);
  return { config, weights };
}

async function open(file: string | Blob, name: string): Promise<ByteSource> {
  if (file instanceof Blob) return new BlobSource(file instanceof File ? file.name : name, file);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of readRemote(await describeRemote(file), 0)) chunks.push(chunk);
  return new BlobSource(file, new Blob(chunks));
}

/** Rank ladders as this browser kept them, or built in a worker of their own, which ends with its work. */
export const buildLadders: LadderBuilder = cachedLadders(ladderStore, async (adapter, options) => {
  const worker = new LadderThread({ name: 'ladder' });
  try {
    const failed = new Promise<never>((_, reject) => {
      worker.onerror = ({ message }) => {
        const reason = `the worker for rank ladders failed: ${message || 'it could not be started'}`;
        reject(new ChunkwiseError('disposed', { reason }));
      };
    });
    return await Promise.race([wrap<LadderWorker>(worker).build(adapter, options), failed]);
  } finally {
    worker.terminate();
  }
});
