import pageLayout from '../../shaders/parts/pages/page-layout.wgsl?raw';
import pageUnits from '../../shaders/parts/pages/page-units.wgsl?raw';
import source from '../../shaders/quantize-page.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { headConstants, type Heads } from './heads.ts';
import { formConstants } from './formats/page-forms.ts';
import { halfPrecision } from './slot-choices.ts';

/** The keys or values of one head have little to do: small workgroups. */
const WORKGROUP = 8;

/** Pages of `kv` → pages of codes elsewhere in it. `tasks [N, 2, 4]`: page-table entries of a page and of its copy. */
export function quantizePageKernel(device: Device, heads: Heads): Kernel<{ pages: number }> {
  const half = halfPrecision(device);
  return {
    name: 'quantize-page',
    sources: [half.source, pageLayout, pageUnits, source],
    enables: half.enables,
    constants: { ...headConstants(heads), ...formConstants, WORKGROUP, HALF_ONLY: false },
    bindings: [
      { name: 'tasks', type: 'array<vec4u>', access: 'read' },
      { name: 'kv', type: 'array<vec2u>', access: 'read_write' },
    ],
    params: { first: 'u32' },
    groups: ({ pages }) => [2 * heads.numKvHeads, pages],
  };
}
