import type { AdapterSource } from '../src/adapters/adapter-header.ts';
import { BlobSource } from '../src/weights/blob-source.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
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
