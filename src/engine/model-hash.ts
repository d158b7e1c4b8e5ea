import { hexDigest } from '../weights/digest.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { readGguf } from '../weights/gguf/gguf-reader.ts';
import { isSafetensors } from '../weights/safetensors/safetensors-model.ts';
import { readSafetensors } from '../weights/safetensors/safetensors-reader.ts';

/** Read of each tensor. */
const SAMPLE_BYTES = 4096;

/**
 * Stands for a model: the SHA-256 of its files' headers, lengths and the first 4 KiB of each tensor, whatever the files
 * are called and in whichever order they are given. Another model, a fine-tuned one or another quantization has another
 * hash. What it cannot tell are files that differ only further inside their tensors: a damaged download, or a few
 * weights edited by hand. Reading a whole model for that would take longer than computing the text anew.
 */
export async function modelHash(sources: readonly ByteSource[]): Promise<string> {
  const form = isSafetensors(sources) ? 'safetensors' : 'gguf';
  const files = await Promise.all(sources.map((source) => fileHash(source, form)));
  return hexDigest([files.sort().join()]);
}

/** Of the files of a safetensors model some have no tensors: they are all header. */
async function tensorsOf(source: ByteSource, form: 'gguf' | 'safetensors'): Promise<readonly TensorInfo[]> {
  if (form === 'gguf') return (await readGguf(source)).tensors;
  return isSafetensors([source]) ? (await readSafetensors(source)).tensors : [];
}

async function fileHash(source: ByteSource, form: 'gguf' | 'safetensors'): Promise<string> {
  const tensors = await tensorsOf(source, form);
  const header = await source.read(0, tensors[0]?.offset ?? source.size);
  const samples: Uint8Array[] = [];
  for (const { offset, bytes } of tensors) samples.push(await source.read(offset, Math.min(bytes, SAMPLE_BYTES)));
  return hexDigest([`${source.size} `, ...[header, ...samples].map((part) => part.slice())]);
}
