import source from '../../shaders/lora-delta.wgsl?raw';
import loraAdd from '../../shaders/slots/lora-add/low.wgsl?raw';
import loraNone from '../../shaders/slots/lora-add/none.wgsl?raw';
import block from '../../shaders/parts/block.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { type LoraSite, loraParts } from './lora-layout.ts';
import { inputLoading, loraLow, reduction } from './slot-choices.ts';

export interface LoraDeltaOptions {
  /** Of the residual stream. */
  width: number;
  /** The linear before, whose B · h is added; none before the first layer. */
  adds?: LoraSite;
  /** Of what is added, as the linear's own product is multiplied; default 1. */
  scale?: number;
  /** The linears after. */
  lowers: LoraSite;
}

/**
 * `x [T, width]` → `y [T, width]` = x + scale · B · h, and h' = A · (y · norm_weight) into `low_next`. Params: those of
 * lora-layout.ts. Of its workgroups WRITING write y, and `lowering` ones among them compute h'.
 */
export function loraDeltaKernel(
  device: Device,
  { width, adds, scale = 1, lowers }: LoraDeltaOptions,
): Kernel<{ lowering: number; tokens: number }> {
  const reduce = reduction(device);
  const loading = inputLoading(device);
  const isShared = device.variant.lanes > 1;
  const lora = loraParts({ adds, lowers });
  const low = loraLow(device);
  const writing = adds ? Math.ceil(width / 4 / reduce.workgroup) : 0;
  return {
    name: 'lora-delta',
    sources: [
      ...(isShared ? [reduce.source] : [block, loading.input]),
      ...lora.sources,
      adds ? loraAdd : loraNone,
      ...low.sources,
      source,
    ],
    enables: loading.enables,
    constants: {
      ...reduce.constants,
      ...lora.constants,
      ...low.constants,
      BLOCKS: width / 32,
      WRITING: writing,
      SCALE: { f32: scale },
    },
    bindings: [
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      { name: 'norm_weight', type: 'array<vec4f>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
      ...lora.bindings,
    ],
    params: lora.params,
    groups: ({ lowering, tokens }) => [writing + lowering, tokens],
  };
}
