import source from '../../shaders/sampling/sample-level.wgsl?raw';
import type { Kernel, ParamsLayout } from '../gpu/kernel.ts';

/** Thresholds between levels; fewer are filled up with UNREACHED. */
export const MAX_THRESHOLDS = 5;
/** Above every complexity. */
export const UNREACHED = 2;

const PARAMS: ParamsLayout = {
  ...{ slot: 'u32', rampWidth: 'u32', hysteresis: 'f32', smoothing: 'f32' },
  ...{ threshold0: 'f32', threshold1: 'f32', threshold2: 'f32', threshold3: 'f32', threshold4: 'f32' },
};

/**
 * `entropies [streams]` → the row of the stream's next token in the arena `lora`. Params: the stream's slot; tokens of a
 * ramp; how far past a threshold the complexity must be; the share of the newest entropy in it; the thresholds.
 */
export const sampleLevelKernel = (): Kernel<void> => ({
  name: 'sample-level',
  sources: [source],
  constants: {},
  bindings: [
    { name: 'entropies', type: 'array<f32>', access: 'read' },
    { name: 'level_states', type: 'array<vec4u>', access: 'read_write' },
    { name: 'lora', type: 'array<vec2u>', access: 'read_write' },
  ],
  params: PARAMS,
  groups: () => [1],
});
