import type { AdapterModules } from '../formats/adapter-file.ts';
import type { InputRms, LadderBuilder } from './adapter-ladder.ts';
import { asLadder } from './adapter-ladder.ts';
import { hexDigest } from '../../weights/digest.ts';
import { decodeLadder, encodeLadder, LADDER_VERSION } from './ladder-bytes.ts';

/** Keeps bytes by name (letters, digits and dashes). It may forget, damage or refuse them. */
export interface LadderStore {
  get(key: string): Promise<ArrayBuffer | undefined>;
  put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

/**
 * A builder that asks the store first, and keeps there what it built. What the store does wrong costs time only: a
 * damaged ladder is built anew, and one that could not be kept is built again the next time.
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
