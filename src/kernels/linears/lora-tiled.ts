import source from '../../../shaders/linears/lora-tiled.wgsl?raw';
import type { Kernel } from '../../gpu/kernel.ts';
import { type LoraSite, loraParts } from '../lora-layout.ts';
import { COMPONENTS, type LoraPrefillSize } from '../lora-prefill.ts';
import { tileParts, tileTokens } from './tile-product.ts';

/** Small tiles, since there are few components: 32 tokens. */
const WORKGROUP = 128;

/** `x [T, columns]` → h = A · x into `low_next`, for the linears of `lowers`. Params: those of lora-layout.ts. */
export function loraTiledKernel(columns: number, lowers: LoraSite): Kernel<LoraPrefillSize> {
  const tile = tileParts(WORKGROUP, COMPONENTS * lowers.widths.length, 'f16');
  const lora = loraParts({ lowers });
  return {
    name: 'lora-tiled',
    sources: [...tile.sources, ...lora.sources, source],
    constants: { ...lora.constants, ...tile.constants, BLOCKS: columns / 32 },
    bindings: [{ name: 'x', type: 'array<vec4f>', access: 'read' }, ...lora.bindings],
    params: lora.params,
    groups: ({ runs, tokens, adapters }) => [runs, Math.ceil(tokens / tileTokens(WORKGROUP)), adapters],
  };
}
