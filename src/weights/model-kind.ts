import type { ByteSource } from './byte-source.ts';
import { isEncoder } from './encoder-config.ts';
import type { ModelHeader } from './model-header.ts';
import { openModelFile } from './open-model-file.ts';
import { isSafetensors, namesEncoder } from './safetensors/safetensors-model.ts';

/** Whether a model's files hold an encoder; with the header of a GGUF file, which had to be read for it. Throws `bad_file`, `unsupported`. */
export async function modelKind(sources: readonly ByteSource[]): Promise<{ isEncoder: boolean; header?: ModelHeader }> {
  if (isSafetensors(sources)) return { isEncoder: await namesEncoder(sources) };
  const header = await openModelFile(sources);
  return { isEncoder: isEncoder(header), header };
}
