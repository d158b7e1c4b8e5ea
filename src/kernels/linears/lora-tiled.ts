import source from '../../../shaders/linears/lora-tiled.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { type LoraSite, loraParts } from '../lora-layout.ts';
import { COMPONENTS, type LoraPrefillSize } from '../lora-prefill.ts';
import { tileParts, tileTokens } from './tile-product.ts';

/** Small tiles, since there are few components: 32 tokens. */
const WORKGROUP = 128;

/** `x [T, columns]` → h = A · x into `low_next`, for the linears of `lowers`. Params: those of lora-layout.ts. */
export function loraTiledKernel(device: Device, columns: number, lowers: LoraSite): Kernel<LoraPrefillSize> {
  const tile = tileParts(device, { workgroup: WORKGROUP, rows: COMPONENTS * lowers.widths.length, inHalves: true });
  const lora = loraParts({ lowers });
  return {
    name: 'lora-tiled',
    sources: [...tile.sources, ...lora.sources, source],
    enables: tile.enables,
    constants: { ...lora.constants, ...tile.constants, BLOCKS: columns / 32 },
    bindings: [{ name: 'x', type: 'array<vec4f>', access: 'read' }, ...lora.bindings],
    params: lora.params,
    groups: ({ runs, tokens, adapters }) => [runs, Math.ceil(tokens / tileTokens(WORKGROUP)), adapters],
  };
}
