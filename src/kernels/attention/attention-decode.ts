import source from '../../../shaders/attention/attention-decode.wgsl?raw';
import storedHalf from '../../../shaders/parts/stored-half.wgsl?raw';
import storedBefore from '../../../shaders/slots/store-token/none.wgsl?raw';
import storesOwn from '../../../shaders/slots/store-token/own.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { attending } from '../attention.ts';
import type { Heads } from '../heads.ts';
import { headChunks, pageSharing } from './page-sharing.ts';

/** Which pages are read, and whether the tokens' keys and values are stored first. */
export interface DecodeForm {
  /** Every page is in f16. */
  halfOnly: boolean;
  /** No two tokens are of one sequence, and store-kv has not run: see `storesTokens`. */
  stores: boolean;
}

/** Whether attentionDecodeKernel can store keys and values itself: one workgroup has all heads that share them, and none is normed. */
export const storesTokens = (device: Device, heads: Heads): boolean => device.variant.sharedPages && !heads.qkNorm && headChunks(heads) === 1;

/** Queries of `qkv`, a token each of any sequence → `partial_outputs`, as attentionKernel leaves it. */
export function attentionDecodeKernel(device: Device, heads: Heads, { halfOnly, stores }: DecodeForm): Kernel<{ tokens: number; splits: number }> {
  const { sources, enables, constants } = pageSharing(device, heads);
  return {
    name: 'attention-decode',
    sources: [...sources, ...(stores ? [storedHalf, storesOwn] : [storedBefore]), source],
    enables,
    constants: { ...constants, QUERY_STRIDE: heads.headDim / 4, HALF_ONLY: halfOnly },
    ...attending(stores ? 'read_write' : 'read'),
    groups: ({ tokens, splits }) => [heads.numKvHeads * headChunks(heads), splits, tokens],
  };
}
