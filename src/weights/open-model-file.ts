import type { ByteSource } from './byte-source.ts';
import { openGguf } from './gguf/gguf-split.ts';
import type { ModelHeader } from './model-header.ts';
import { refusePickle } from './safetensors/pickle.ts';
import type { LoadedType } from './quantize.ts';
import { isSafetensors, openSafetensorsModel } from './safetensors/safetensors-model.ts';

/** A model's header, whatever its form. `type`: what the matrices of a safetensors model become. Throws `bad_file`, `unsupported`. */
export async function openModelFile(sources: readonly ByteSource[], type?: LoadedType): Promise<ModelHeader> {
  if (isSafetensors(sources)) return openSafetensorsModel(sources, type);
  const [first] = sources;
  return openGguf(sources).catch((error: unknown) => {
    if (first) return refusePickle(first, 'model', error);
    throw error;
  });
}
