import { pickleError, type PickledKind } from '../../errors/pickle-error.ts';
import type { ByteSource } from '../byte-source.ts';

/** How files begin that torch.save writes: a zip archive with a pickle in it, or formerly a pickle of protocol 2. */
const BEGINNINGS = [
  [0x50, 0x4b, 0x03, 0x04],
  [0x80, 0x02],
];

/** Throws what is wrong with a file that could not be read: that it is a pickle, or else `error`. */
export async function refusePickle(source: ByteSource, kind: PickledKind, error: unknown): Promise<never> {
  const start = await source.read(0, Math.min(4, source.size)).catch(() => new Uint8Array());
  const isPickle = BEGINNINGS.some((bytes) => bytes.every((byte, i) => start[i] === byte));
  throw isPickle ? pickleError(source.name, kind, error) : error;
}
