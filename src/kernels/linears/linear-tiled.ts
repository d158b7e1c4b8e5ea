import source from '../../../shaders/linears/linear-tiled.wgsl?raw';
import bias from '../../../shaders/slots/bias/vector.wgsl?raw';
import noBias from '../../../shaders/slots/bias/none.wgsl?raw';
import loraColumns from '../../../shaders/slots/tile-lora/columns.wgsl?raw';
import loraNone from '../../../shaders/slots/tile-lora/none.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { tileReader } from '../formats/tile-formats.ts';
import type { LinearPrefillOptions } from '../linear-prefill.ts';
import { loraParts } from '../lora-layout.ts';
import { tileParts, tileTokens } from './tile-product.ts';

/**
 * `x [T, columns]` → `y [T, outputWidth]`, as linear-prefill.ts with tiles in workgroup memory, for devices whose barriers
 * are fast. No weight is rounded: a prompt at once is what it is token by token. Params: those of linear-prefill.ts, and T.
 */
export function linearTiledKernel(
  device: Device,
  options: LinearPrefillOptions,
): Kernel<{ rows: number; tokens: number }> {
  const { prefillWorkgroup: workgroup, tileRows: rows } = device.variant;
  const { type, columns, accumulate = false, hasBias = false, adds } = options;
  const reader = tileReader(device, type, columns);
  const tile = tileParts(workgroup, rows, 'f32');
  const lora = loraParts({ adds });
  return {
    name: 'linear-tiled',
    sources: [
      ...reader.sources,
      ...tile.sources,
      hasBias ? bias : noBias,
      ...lora.sources,
      adds ? loraColumns : loraNone,
      source,
    ],
    enables: reader.enables,
    constants: {
      ...reader.constants,
      ...tile.constants,
      ...lora.constants,
      ...{ HELD: Math.max(1, (4 * rows) / workgroup), ACCUMULATE: accumulate },
    },
    bindings: [
      ...reader.bindings,
      { name: 'x', type: 'array<vec4f>', access: 'read' },
      ...(hasBias ? [{ name: 'bias_values', type: 'array<f32>', access: 'read' as const }] : []),
      { name: 'y', type: 'array<f32>', access: 'read_write' },
      ...lora.bindings,
    ],
    params: { ...{ rowStart: 'u32', rows: 'u32', scale: 'f32', outputWidth: 'u32', tokens: 'u32' }, ...lora.params },
    groups: ({ rows: outputs, tokens }) => [Math.ceil(outputs / rows), Math.ceil(tokens / tileTokens(workgroup))],
  };
}
