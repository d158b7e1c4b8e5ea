/** Bytes in hexadecimal. */
export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Hexadecimal SHA-256 of all parts in order. */
export async function hexDigest(parts: BlobPart[]): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', await new Blob(parts).arrayBuffer());
  return toHex(new Uint8Array(hash));
}
