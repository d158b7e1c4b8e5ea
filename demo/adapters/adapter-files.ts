import { ChunkwiseError } from '../../src/api/index.ts';
import type { AdapterSource } from '../../src/api/index.ts';

/** Sorts picked or dropped files into an adapter. Throws `bad_request` if a file is missing. */
export function adapterOfFiles(files: readonly File[]): AdapterSource {
  const gguf = files.find(({ name }) => name.endsWith('.gguf'));
  if (gguf) return { gguf };
  // A folder may hold other JSON files too.
  const config =
    files.find(({ name }) => name === 'adapter_config.json') ?? files.find(({ name }) => name.endsWith('.json'));
  const weights = files.find(({ name }) => name.endsWith('.safetensors'));
  if (config && weights) return { config, weights };
  // The engine reports why it does not read one.
  const pickle = weights ? undefined : files.find(({ name }) => /\.(bin|pt|pth)$/.test(name));
  if (pickle) return { gguf: pickle };
  const names = files.map(({ name }) => name).join(', ');
  const missing = config ? 'adapter_model.safetensors' : 'adapter_config.json';
  const reason =
    config || weights
      ? `${missing} is missing: a PEFT adapter has two files; pick both together`
      : 'neither a GGUF file nor an adapter_config.json with an adapter_model.safetensors';
  throw new ChunkwiseError('bad_request', { file: names, reason });
}

/** An adapter's source by its address: a GGUF file, or the folder of the two files. */
export function adapterOfUrl(url: string): AdapterSource {
  return /\.gguf([?#].*)?$/.test(url) ? { gguf: url } : url;
}
