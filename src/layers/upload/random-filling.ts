import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/operation.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { randomWordsKernel } from '../../kernels/formats/random-words.ts';
import { planeNames } from '../../kernels/formats/weight-formats.ts';
import type { WeightMatrix } from '../weight-matrix.ts';

/** The GPU makes up a matrix's weights, of a type whose scales are halves: none of them comes from a file. Errors: `kernel_refused`. */
export async function fillAtRandom(device: Device, recorder: Recorder, { type, slices }: WeightMatrix): Promise<void> {
  const fills = slices.flatMap(({ planes }) =>
    planeNames(type).flatMap((name) => {
      const plane = planes[name];
      if (!plane) return [];
      const operation = createOperation(device, randomWordsKernel(name), { y: plane });
      return [{ operation, words: plane.size / 4 }];
    }),
  );
  await device.pipelines.ready();
  for (const { operation, words } of fills) recorder.run(operation, operation.groups({ words }), { words });
}
