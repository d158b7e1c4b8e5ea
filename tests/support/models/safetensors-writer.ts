export interface SafetensorToWrite {
  name: string;
  shape: readonly number[];
  type: string;
  bytes: Uint8Array;
}

/** A safetensors file with its tensors in the order given; the header is padded to 8 bytes with spaces. */
export function writeSafetensors(tensors: readonly SafetensorToWrite[], metadata?: Record<string, string>): Uint8Array {
  let end = 0;
  const entries = tensors.map(({ name, shape, type, bytes }): [string, object] => {
    const begin = end;
    end += bytes.length;
    return [name, { dtype: type, shape, data_offsets: [begin, end] }];
  });
  const header = JSON.stringify(Object.fromEntries([...(metadata ? [['__metadata__', metadata]] : []), ...entries]));
  return assemble(
    header,
    tensors.map(({ bytes }) => bytes),
  );
}

/** A safetensors file with any header text. */
export function assemble(header: string, parts: readonly Uint8Array[]): Uint8Array {
  const text = new TextEncoder().encode(header);
  const length = Math.ceil(text.length / 8) * 8;
  const out = new Uint8Array(8 + length + parts.reduce((sum, part) => sum + part.length, 0)).fill(0x20, 8, 8 + length);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(text, 8);
  let at = 8 + length;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
