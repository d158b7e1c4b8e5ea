import type { ByteSource } from './byte-source.ts';
import { openGguf } from './gguf/gguf-split.ts';
import type { ModelHeader } from './model-header.ts';
import type { LoadedType } from './quantize.ts';
import { isSafetensors, namesEncoder, openSafetensorsModel } from './safetensors/safetensors-model.ts';
import { isEncoder } from './encoder-config.ts';
import { pickleError, type PickledKind } from '../errors/pickle-error.ts';

/**
 * Reads a model's header from any format. `type`: type that the matrices of a safetensors model are converted to.
 * Throws `bad_file`, `unsupported`.
 */
export async function openModelFile(sources: readonly ByteSource[], type?: LoadedType): Promise<ModelHeader> {
  if (isSafetensors(sources)) return openSafetensorsModel(sources, type);
  const [first] = sources;
  return openGguf(sources).catch((error: unknown) => {
    if (first) return refusePickle(first, 'model', error);
    throw error;
  });
}

/**
 * Whether a model's files hold an encoder, with the header if it was read for that (GGUF). Throws `bad_file`,
 * `unsupported`.
 */
export async function modelKind(sources: readonly ByteSource[]): Promise<{ isEncoder: boolean; header?: ModelHeader }> {
  if (isSafetensors(sources)) return { isEncoder: await namesEncoder(sources) };
  const header = await openModelFile(sources);
  return { isEncoder: isEncoder(header), header };
}

/** First bytes of torch.save's files: a zip archive, or formerly a pickle of protocol 2. */
const BEGINNINGS = [
  [0x50, 0x4b, 0x03, 0x04],
  [0x80, 0x02],
];

/** Throws a pickle error if an unreadable file is a pickle, else `error`. */
export async function refusePickle(source: ByteSource, kind: PickledKind, error: unknown): Promise<never> {
  const start = await source.read(0, Math.min(4, source.size)).catch(() => new Uint8Array());
  const isPickle = BEGINNINGS.some((bytes) => bytes.every((byte, i) => start[i] === byte));
  throw isPickle ? pickleError(source.name, kind, error) : error;
}
