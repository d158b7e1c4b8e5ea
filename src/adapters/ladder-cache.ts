import { hexDigest } from '../util/digest.ts';
import type { AdapterModules } from './adapter-file.ts';
import type { ModulePlace } from './module-names.ts';
import { asLadder, type InputRms, type LadderBuilder, type LadderModule } from './rank-ladder.ts';

/** Stores bytes by name (letters, digits and dashes). It may lose, damage or refuse them. */
export interface LadderStore {
  get(key: string): Promise<ArrayBuffer | undefined>;
  put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

/**
 * A builder with a cache in a store. Failures of the store only cost time: a damaged or missing ladder is built again.
 */
export function cachedLadders(store: LadderStore, build: LadderBuilder): LadderBuilder {
  return async (adapter, options = {}) => {
    const key = await keyOf(adapter, options.inputRms);
    const bytes = await store.get(key).catch(() => undefined);
    const kept = bytes && (await decodeLadder(bytes));
    if (kept) return asLadder(adapter, kept.modules, kept.halfError);
    const ladder = await build(adapter, options);
    await store.put(key, await encodeLadder(ladder)).catch(() => undefined);
    return ladder;
  };
}

async function keyOf({ contentHash, modules }: AdapterModules, inputRms: InputRms | undefined): Promise<string> {
  const key = `v${LADDER_VERSION}-${contentHash}`;
  if (!inputRms) return key;
  const weights = modules.map(({ name }) => (inputRms.get(name) ?? new Float32Array()).slice());
  return `${key}-${await hexDigest(weights)}`;
}

/** The expensive part of an adapter's ladder, which is cached. */
export interface LadderContent {
  modules: LadderModule[];
  halfError: number;
}

const MAGIC = 0x444c5743; // "CWLD"
/** Raise whenever the same adapter gives another ladder, or the format changes. */
const LADDER_VERSION = 1;
const DIGEST_BYTES = 32;
const HEADER_BYTES = 16 + DIGEST_BYTES;

interface Description {
  halfError: number;
  modules: (ModulePlace & { name: string; rank: number; inFeatures: number; outFeatures: number })[];
}

/**
 * Format: magic, version, length of the description and zero (u32 each); the SHA-256 of all that follows; the description
 * (JSON), padded with spaces to a multiple of 8; all singular values (f64); A and Bᵀ of each module (binary16). Byte order:
 * the machine's, since only the same machine reads it.
 */
export async function encodeLadder({ modules, halfError }: LadderContent): Promise<Uint8Array<ArrayBuffer>> {
  const description: Description = {
    halfError,
    modules: modules.map(({ name, layer, linear, rank, inFeatures, outFeatures }) => {
      return { name, layer, linear, rank, inFeatures, outFeatures };
    }),
  };
  const json = JSON.stringify(description);
  const text = new TextEncoder().encode(json + ' '.repeat(8));
  const textBytes = text.length - (text.length % 8);
  const values = modules.map(({ singularValues }) => singularValues);
  const arrays = [text.subarray(0, textBytes), ...values, ...modules.flatMap(({ a, bTransposed }) => [a, bTransposed])];
  const bytes = new Uint8Array(HEADER_BYTES + arrays.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = HEADER_BYTES;
  for (const { buffer, byteOffset, byteLength } of arrays) {
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), at);
    at += byteLength;
  }
  new Uint32Array(bytes.buffer, 0, 4).set([MAGIC, LADDER_VERSION, textBytes, 0]);
  bytes.set(await digestOf(bytes.subarray(HEADER_BYTES)), 16);
  return bytes;
}

/** The inverse of `encodeLadder`; arrays are views of `bytes`. Undefined for damaged bytes. */
export async function decodeLadder(bytes: ArrayBuffer): Promise<LadderContent | undefined> {
  if (bytes.byteLength < HEADER_BYTES) return undefined;
  const [magic, version, textBytes = 0, zero] = new Uint32Array(bytes, 0, 4);
  if (magic !== MAGIC || version !== LADDER_VERSION || textBytes % 8 !== 0 || zero !== 0) return undefined;
  const digest = await digestOf(new Uint8Array(bytes, HEADER_BYTES));
  if (new Uint8Array(bytes, 16, DIGEST_BYTES).some((byte, i) => byte !== digest[i])) return undefined;
  if (textBytes > bytes.byteLength - HEADER_BYTES) return undefined;
  // The digest matches, so `encodeLadder` wrote these bytes.
  const json = new TextDecoder().decode(new Uint8Array(bytes, HEADER_BYTES, textBytes));
  const { modules, halfError } = JSON.parse(json) as Description;
  let at = HEADER_BYTES + textBytes;
  const values = modules.map(({ rank }) => new Float64Array(bytes, (at += rank * 8) - rank * 8, rank));
  const halves = (count: number): Uint16Array => new Uint16Array(bytes, (at += count * 2) - count * 2, count);
  return {
    halfError,
    modules: modules.map((module, i) => {
      const { rank, inFeatures, outFeatures } = module;
      const a = halves(rank * inFeatures);
      return { ...module, a, bTransposed: halves(rank * outFeatures), singularValues: values[i]! };
    }),
  };
}

const digestOf = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
