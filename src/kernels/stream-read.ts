import source from '../../shaders/stream-read.wgsl?raw';
import type { Kernel } from '../gpu/kernel.ts';

/** Bytes read: more than any cache holds. */
export const streamReadBytes = 64 << 20;

const RUN = 64;

/** Reads `x` once; `y` gets one word an invocation. */
export const streamReadKernel = (): Kernel<{ bytes: number }> => ({
  name: 'stream-read',
  sources: [source],
  constants: { RUN },
  bindings: [
    { name: 'x', type: 'array<vec4u>', access: 'read' },
    { name: 'y', type: 'array<u32>', access: 'read_write' },
  ],
  params: {},
  groups: ({ bytes }) => [Math.floor(bytes / 16 / RUN / 64)],
});
