import source from '../../../shaders/ceilings/stream-copy.wgsl?raw';
import type { Kernel } from '../../gpu/kernel.ts';

const RUN = 16;

/** Copies `x` to `y`. */
export const streamCopyKernel = (): Kernel<{ bytes: number }> => ({
  name: 'stream-copy',
  sources: [source],
  constants: { RUN },
  bindings: [
    { name: 'x', type: 'array<vec4u>', access: 'read' },
    { name: 'y', type: 'array<vec4u>', access: 'read_write' },
  ],
  params: {},
  groups: ({ bytes }) => [Math.floor(bytes / 16 / RUN / 64)],
});
