import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/operation.ts';
import type { Check } from '../../gpu/self-check.ts';
import { repack } from '../../kernels/formats/repack.ts';
import { repackKernel, unitsOfRow } from '../../kernels/formats/repack-kernel.ts';
import { planeNames } from '../../kernels/formats/weight-formats.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import { deinterleaveRows } from '../../weights/interleaved-rows.ts';
import { anyMatrix, anyNumbers, bufferOf } from './known-values.ts';

/** Two heads of eight rows. */
const ROWS = 16;
const HEAD_DIM = 8;
const COLUMNS = 512;

/** What the GPU makes of a matrix's bytes, in their order or in the other one, is what JavaScript does, bit for bit. */
export function repackChecks(device: Device, type: GgmlType): Check[] {
  return [0, HEAD_DIM].map((headDim) => {
    const { bytes } = anyMatrix(type, ROWS, COLUMNS, anyNumbers());
    const rows = headDim === 0 ? bytes : deinterleaveRows(bytes, bytes.length / ROWS, headDim);
    const right = repack(type, rows);
    const planes = planeNames(type).map((name) => [name, right[name] ?? new Uint32Array()] as const);
    const words = planes.flatMap(([, plane]) => [...plane]);
    const bound = planes.map(([name, plane]) => [name, bufferOf(device, new Uint32Array(plane.length))] as const);
    return {
      name: `repack ${type}`,
      make() {
        const { gpuDevice, variant } = device;
        if (variant.repacksOnHost) {
          return () => bound.forEach(([, buffer], i) => gpuDevice.queue.writeBuffer(buffer, 0, planes[i]![1].slice()));
        }
        const raw = bufferOf(device, new Uint32Array(bytes.slice().buffer));
        const operation = createOperation(device, repackKernel(type), {
          raw,
          fault: bufferOf(device, new Uint32Array(1)),
          ...Object.fromEntries(bound),
        });
        const rowUnits = unitsOfRow(type, COLUMNS);
        const units = ROWS * rowUnits;
        return (recorder) =>
          recorder.run(operation, operation.groups({ units }), {
            units,
            firstUnit: 0,
            firstRow: 0,
            rowUnits,
            headDim,
            tensor: 0,
          });
      },
      result: bound.map(([, buffer], i) => ({ buffer, offset: 0, size: planes[i]![1].byteLength })),
      read: (found) => [Number(new Uint32Array(found).every((word, i) => word === words[i]))],
      expected: [1],
    };
  });
}
