import source from '../../../shaders/gemma/take-input.wgsl?raw';
import type { Activation } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { ACTIVATIONS } from '../slot-choices.ts';

/** `x [T, width]` = activation(x) · a layer's part of `inputs [T, numLayers width]`, in place. Params: where that begins in a row, in vectors of four. */
export function takeInputKernel(
  { variant: { workgroup } }: Device,
  width: number,
  numLayers: number,
  activation: Activation,
): Kernel<{ tokens: number }> {
  return {
    name: 'take-input',
    sources: [ACTIVATIONS[activation], source],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4, ROW4: (numLayers * width) / 4 },
    bindings: [
      { name: 'x', type: 'array<vec4f>', access: 'read_write' },
      { name: 'inputs', type: 'array<vec4f>', access: 'read' },
    ],
    params: { start4: 'u32' },
    groups: ({ tokens }) => [Math.ceil(width / 4 / workgroup), tokens],
  };
}
