import source from '../../../shaders/random-words.wgsl?raw';
import { folded } from '../../gpu/grid.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import type { PlaneName } from './weight-formats.ts';

const WORKGROUP = 64;

/** Two halves of 2^-8 to 2^-7, which are finite whatever their fractions; codes may be anything. */
const SCALES = { MASK: 0x03ff03ff, BITS: 0x1c001c00 };
const CODES = { MASK: 0xffffffff, BITS: 0 };

/** `y` `[words]`: a plane of random weights, of a type whose scales are halves. */
export const randomWordsKernel = (plane: PlaneName): Kernel<{ words: number }> => ({
  name: 'random-words',
  sources: [source],
  constants: { WORKGROUP, ...(plane === 'weight_scales' ? SCALES : CODES) },
  bindings: [{ name: 'y', type: 'array<u32>', access: 'read_write' }],
  params: { words: 'u32' },
  groups: ({ words }) => folded(Math.ceil(words / WORKGROUP)),
});
