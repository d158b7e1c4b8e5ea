import multiplyAddSource from '../../shaders/ceilings/multiply-add.wgsl?raw';
import neverSeenSource from '../../shaders/ceilings/never-seen.wgsl?raw';
import streamCopySource from '../../shaders/ceilings/stream-copy.wgsl?raw';
import streamReadSource from '../../shaders/ceilings/stream-read.wgsl?raw';
import { type Kernel, reads, writes } from '../gpu/kernel.ts';
import { part } from './shader-library.ts';

/** Independent chains of an invocation: a GPU starts an operation before the previous one ends. */
const SUMS = 8;
const GROUPS = 4096;

/** Sums in `y`, as vec4f. */
export const MULTIPLY_ADD_INVOCATIONS = GROUPS * 64;
/** Floating-point operations of a dispatch an iteration: a product and a sum for each component of each chain. */
export const MULTIPLY_ADD_FLOPS = MULTIPLY_ADD_INVOCATIONS * SUMS * 4 * 2;

export type Precision = 'f32' | 'f16';
/** `fma`, which some software adapters emulate, or a product and a sum, which GPUs fuse. */
export const MULTIPLY_ADD_WAYS = ['fused', 'plain'] as const;

/** Only multiply-adds: `params.iterations` in each chain. f16 needs shader-f16. */
export const multiplyAddKernel = (precision: Precision, way: (typeof MULTIPLY_ADD_WAYS)[number]): Kernel => ({
  name: 'multiply-add',
  sources: [part(`number4/${precision}`), part(`multiply-add/${way}`), multiplyAddSource],
  constants: { SUMS },
  bindings: [writes('y', 'vec4f')],
  params: { iterations: 'u32', factor: 'f32', addend: 'f32' },
  ...(precision === 'f16' && { enables: ['f16'] }),
  groups: () => [GROUPS],
});

/** Bytes to read or copy: more than the caches of most devices hold. */
export const STREAM_BYTES = 128 << 20;

const READ_RUN = 64;
const COPY_RUN = 16;

/** How invocations share a workgroup's reads: neighbours read neighbours, which suits GPUs, or each reads a run of its own. */
export const READ_WAYS = ['coalesced', 'runs'] as const;
export type ReadWay = (typeof READ_WAYS)[number];

/** Reads `x` once; `y` gets one word an invocation. */
export const streamReadKernel = (way: ReadWay): Kernel<{ bytes: number }> => ({
  name: 'stream-read',
  sources: [streamReadSource],
  constants: {
    RUN: READ_RUN,
    ...(way === 'coalesced' ? { LANE_STEP: 1, RUN_STEP: 64 } : { LANE_STEP: READ_RUN, RUN_STEP: 1 }),
  },
  bindings: [reads('x', 'vec4u'), writes('y', 'u32')],
  params: {},
  groups: ({ bytes }) => [Math.floor(bytes / 16 / READ_RUN / 64)],
});

/** Copies `x` to `y`. */
export const streamCopyKernel = (): Kernel<{ bytes: number }> => ({
  name: 'stream-copy',
  sources: [streamCopySource],
  constants: { RUN: COPY_RUN },
  bindings: [reads('x', 'vec4u'), writes('y', 'vec4u')],
  params: {},
  groups: ({ bytes }) => [Math.floor(bytes / 16 / COPY_RUN / 64)],
});

/** A kernel that no driver has in its cache. `y`: 64 words; `seed`: a u32 that no earlier call used. */
export const neverSeenKernel = (seed: number): Kernel => ({
  name: 'never-seen',
  sources: [neverSeenSource],
  constants: { SEED: seed, ROUNDS: 64 },
  bindings: [writes('y', 'u32')],
  params: {},
  groups: () => [1],
});
