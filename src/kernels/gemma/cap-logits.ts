import source from '../../../shaders/gemma/cap-logits.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';

/** `logits [T, vocabSize]` = cap · tanh(logits / cap), in place. */
export function capLogitsKernel(
  { variant: { workgroup } }: Device,
  vocabSize: number,
  cap: number,
): Kernel<{ tokens: number }> {
  return {
    name: 'cap-logits',
    sources: [source],
    constants: { WORKGROUP: workgroup, VOCABULARY: vocabSize, CAP: { f32: cap } },
    bindings: [{ name: 'logits', type: 'array<f32>', access: 'read_write' }],
    params: {},
    groups: ({ tokens }) => [Math.ceil(vocabSize / workgroup), tokens],
  };
}
