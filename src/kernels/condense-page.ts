import source from '../../shaders/condense-page.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { PAGE_LIBRARIES } from './attention.ts';
import { headConstants, type Heads } from './heads.ts';
import { formConstants } from './formats/page-forms.ts';
import { PROBES } from './probe-page.ts';
import { halfPrecision, scoreScaling, windowOf } from './slot-choices.ts';

/** A page of 32 entries has little to do: small workgroups. */
const WORKGROUP = 8;

/**
 * Pages in f16, or sparse, in `kv` → sparse ones of fewer entries, elsewhere in it. `tasks [N, 2, 4]`: page-table
 * entries of a page and of its copy; `qkv`, the parameters: the latest queries, as for probe-page.
 */
export function condensePageKernel(device: Device, heads: Heads): Kernel<{ pages: number }> {
  const half = halfPrecision(device);
  const scale = scoreScaling(heads);
  return {
    name: 'condense-page',
    sources: [half.source, scale.source, windowOf().source, ...PAGE_LIBRARIES, source],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      ...formConstants,
      PROBES,
      GROUP: 1,
      HALF_ONLY: false,
      WORKGROUP,
      ...scale.constants,
    },
    bindings: [
      { name: 'tasks', type: 'array<vec4u>', access: 'read' },
      { name: 'qkv', type: 'array<vec4f>', access: 'read' },
      { name: 'rope', type: 'array<vec4f>', access: 'read' },
      { name: 'kv', type: 'array<vec2u>', access: 'read_write' },
    ],
    params: { first: 'u32', queries: 'u32', slot: 'u32', position: 'u32' },
    groups: ({ pages }) => [heads.numKvHeads, pages],
  };
}
