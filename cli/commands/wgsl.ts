import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { pageFormKernels } from '../../src/layers/attention.ts';
import { WGSL_FLAGS } from '../command-flags.ts';
import { parseFlags, positional } from '../flags.ts';
import { withModel } from '../open-model.ts';
import type { Output } from '../output.ts';

/**
 * `wgsl KERNEL`: the WGSL of every variant of a kernel that a model runs on this device; with `--adapter` also those of
 * adapters.
 */
export async function wgsl(args: string[]): Promise<Output> {
  const { values, positionals } = parseFlags(args, WGSL_FLAGS, true);
  const kernel = positional('KERNEL', positionals);
  return withModel(values, async (engine) => {
    const { device, transformer } = await engine.session();
    for (const each of pageFormKernels(device, transformer.config)) device.pipelines.get(each);
    await device.pipelines.ready();
    const known = device.pipelines.texts();
    const texts = known.filter(({ name }) => name === kernel).map(({ text }) => text);
    if (texts.length > 0) return { json: { kernel, device: engine.device, texts }, text: texts.join('\n\n') };
    const names = [...new Set(known.map(({ name }) => name))].sort().join(', ');
    throw new ChunkwiseError('bad_request', {
      field: 'KERNEL',
      reason: `${JSON.stringify(kernel.slice(0, 40))} is not one of ${names}`,
    });
  });
}
