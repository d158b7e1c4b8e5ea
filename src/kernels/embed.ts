import source from '../../shaders/embed.wgsl?raw';
import weightBlock from '../../shaders/parts/weights/weight-block.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import { weightReader } from './formats/weight-formats.ts';

/**
 * `tokens`, as `batch_table` says → rows of the embedding matrix, times `scale`: `y [T, columns]`. Params: the slice's first
 * row and rows.
 */
export function embedKernel(device: Device, type: GgmlType, columns: number, scale = 1): Kernel<{ tokens: number }> {
  const { workgroup } = device.variant;
  const reader = weightReader(device, type, columns);
  return {
    name: 'embed',
    sources: [...reader.sources, weightBlock, source],
    enables: reader.enables,
    constants: { ...reader.constants, WORKGROUP: workgroup, SCALE: { f32: scale } },
    bindings: [
      ...reader.bindings,
      { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
      { name: 'tokens', type: 'array<u32>', access: 'read' },
      { name: 'y', type: 'array<vec4f>', access: 'read_write' },
    ],
    params: { rowStart: 'u32', rows: 'u32' },
    groups: ({ tokens }) => [Math.ceil(columns / 32 / workgroup), tokens],
  };
}
