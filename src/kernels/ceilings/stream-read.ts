import source from '../../../shaders/ceilings/stream-read.wgsl?raw';
import type { Kernel } from '../../gpu/kernel.ts';

/** Bytes read or copied: more than the caches of most devices hold. */
export const STREAM_BYTES = 128 << 20;

const RUN = 64;

/** How invocations share out what a workgroup reads: neighbours read neighbours, as GPUs want it, or each a run of its own. */
export const READ_WAYS = ['coalesced', 'runs'] as const;
export type ReadWay = (typeof READ_WAYS)[number];

/** Reads `x` once; `y` gets one word an invocation. */
export const streamReadKernel = (way: ReadWay): Kernel<{ bytes: number }> => ({
  name: 'stream-read',
  sources: [source],
  constants: { RUN, ...(way === 'coalesced' ? { LANE_STEP: 1, RUN_STEP: 64 } : { LANE_STEP: RUN, RUN_STEP: 1 }) },
  bindings: [
    { name: 'x', type: 'array<vec4u>', access: 'read' },
    { name: 'y', type: 'array<u32>', access: 'read_write' },
  ],
  params: {},
  groups: ({ bytes }) => [Math.floor(bytes / 16 / RUN / 64)],
});
