import source from '../../../shaders/attention/attention-decode.wgsl?raw';
import keepProbe from '../../../shaders/parts/pages/keep-probe.wgsl?raw';
import rotatedValue from '../../../shaders/parts/pages/rotated-value.wgsl?raw';
import rotation from '../../../shaders/parts/pages/rotation.wgsl?raw';
import storedHalf from '../../../shaders/parts/stored-half.wgsl?raw';
import storedBefore from '../../../shaders/slots/store-token/none.wgsl?raw';
import storesOwn from '../../../shaders/slots/store-token/own.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { attending, type BatchLength, FINISHED, MAX_SPLITS, type PageSight, type Splits } from '../attention.ts';
import { type Heads, PAGE_TOKENS } from '../heads.ts';
import { PROBES } from '../probe-page.ts';
import { windowOf } from '../slot-choices.ts';
import { decodeWorkgroup, headChunks, pageSharing, pageTeams } from './page-sharing.ts';

/** Steps of a page a team that a workgroup goes through rather than have others share them, as their parts were to be merged then. */
const STEPS_ALONE = 4;

/** Which pages are read, and whether the tokens' keys and values are stored first. */
export interface DecodeForm extends PageSight {
  /** No two tokens are of one sequence, and store-kv has not run: see `storesTokens`. */
  stores: boolean;
}

/** Whether attentionDecodeKernel can store keys and values itself: one workgroup has all heads that share them, and none is normed. */
export const storesTokens = (device: Device, heads: Heads): boolean =>
  device.variant.sharedPages && !heads.qkNorm && headChunks(heads) === 1;

/** As splitPages, for teams: short sequences are not split. */
export function splitForTeams(teams: number, { tokens, length }: BatchLength): Splits {
  const steps = Math.ceil(length / PAGE_TOKENS / teams);
  const each = steps <= STEPS_ALONE ? steps : Math.ceil(steps / Math.max(1, Math.floor(MAX_SPLITS / tokens)));
  return { splits: Math.ceil(steps / each), pagesPerSplit: each * teams };
}

/**
 * Queries of `qkv`, a token each of any sequence → with one split what attention-merge leaves, `y` and the tokens' part of
 * `probes`; else `partial_outputs`, as attentionKernel leaves it.
 */
export function attentionDecodeKernel(
  device: Device,
  heads: Heads,
  { halfOnly, stores, window }: DecodeForm,
): Kernel<{ tokens: number; splits: number }> {
  const workgroup = decodeWorkgroup(device, heads);
  const { sources, enables, constants } = pageSharing(device, heads, { workgroup, teams: pageTeams(heads, workgroup) });
  const sight = windowOf(window);
  const { bindings, params } = attending(stores ? 'read_write' : 'read');
  return {
    name: 'attention-decode',
    sources: [
      ...sources,
      sight.source,
      ...(stores ? [storedHalf, storesOwn] : [storedBefore]),
      keepProbe,
      rotation,
      rotatedValue,
      source,
    ],
    enables,
    constants: { ...constants, ...sight.constants, QUERY_STRIDE: heads.headDim / 4, HALF_ONLY: halfOnly, PROBES },
    bindings: [...bindings, ...FINISHED],
    params: { ...params, slotPages: 'u32' },
    groups: ({ tokens, splits }) => [heads.numKvHeads * headChunks(heads), splits, tokens],
  };
}
