import type { ByteSource } from '../../weights/byte-source.ts';
import { hexDigest } from '../../weights/digest.ts';
import type { AdapterSource } from '../formats/adapter-header.ts';

/** Names an adapter by its content, settings as well as weights: the SHA-256 of its files' SHA-256, in hexadecimal. */
export async function contentHash(source: AdapterSource): Promise<string> {
  const files = 'gguf' in source ? [source.gguf] : [source.config, source.weights];
  return hexDigest(await Promise.all(files.map(digest)));
}

async function digest(file: ByteSource): Promise<ArrayBuffer> {
  return crypto.subtle.digest('SHA-256', (await file.read(0, file.size)).slice());
}
