import source from '../../../shaders/ceilings/multiply-add.wgsl?raw';
import fused from '../../../shaders/slots/multiply-add/fused.wgsl?raw';
import plain from '../../../shaders/slots/multiply-add/plain.wgsl?raw';
import f16 from '../../../shaders/slots/number4/f16.wgsl?raw';
import f32 from '../../../shaders/slots/number4/f32.wgsl?raw';
import type { Kernel } from '../../gpu/kernel.ts';

/** Chains of an invocation: a GPU begins the next operation before the one before is done. */
const SUMS = 8;
const GROUPS = 4096;

/** Sums that `y` gets, as vec4f. */
export const MULTIPLY_ADD_INVOCATIONS = GROUPS * 64;
/** Of a dispatch, an iteration: a multiplication and an addition for each component of each chain. */
export const MULTIPLY_ADD_FLOPS = MULTIPLY_ADD_INVOCATIONS * SUMS * 4 * 2;

export type Precision = 'f32' | 'f16';
const NUMBERS: Record<Precision, string> = { f32, f16 };
const WAYS = { fused, plain };
/** `fma`, which some software adapters emulate, or a product and a sum, which GPUs fuse. */
export const MULTIPLY_ADD_WAYS = Object.keys(WAYS) as (keyof typeof WAYS)[];

/** Nothing but multiply-adds, `params.iterations` of them in each chain. f16 needs shader-f16. */
export const multiplyAddKernel = (precision: Precision, way: keyof typeof WAYS): Kernel => ({
  name: 'multiply-add',
  sources: [NUMBERS[precision], WAYS[way], source],
  constants: { SUMS },
  bindings: [{ name: 'y', type: 'array<vec4f>', access: 'read_write' }],
  params: { iterations: 'u32', factor: 'f32', addend: 'f32' },
  ...(precision === 'f16' && { enables: ['f16'] }),
  groups: () => [GROUPS],
});
