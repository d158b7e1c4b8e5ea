import { hexDigest } from '../adapters/content-hash.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { readGguf } from '../weights/gguf-reader.ts';

/** Read of each tensor. */
const SAMPLE_BYTES = 4096;

/**
 * Stands for a model: the SHA-256 of its files' headers, lengths and the first 4 KiB of each tensor, whatever the files
 * are called and in whichever order they are given. Another model, a fine-tuned one or another quantisation has another
 * hash. What it cannot tell are files that differ only further inside their tensors: a damaged download, or a few
 * weights edited by hand. Reading a whole model for that would take longer than computing the text anew.
 */
export async function modelHash(sources: readonly ByteSource[]): Promise<string> {
  const files = await Promise.all(sources.map(fileHash));
  return hexDigest([files.sort().join()]);
}

async function fileHash(source: ByteSource): Promise<string> {
  const { tensors } = await readGguf(source);
  const header = await source.read(0, tensors[0]?.offset ?? source.size);
  const samples: Uint8Array[] = [];
  for (const { offset, bytes } of tensors) samples.push(await source.read(offset, Math.min(bytes, SAMPLE_BYTES)));
  return hexDigest([`${source.size} `, ...[header, ...samples].map((part) => part.slice())]);
}
