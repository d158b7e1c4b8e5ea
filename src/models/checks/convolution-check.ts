import type { ModelConfig, ShortConvolution } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/operation.ts';
import type { Check } from '../../gpu/self-check.ts';
import { pageEntry, UNIT_BYTES } from '../../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import { shortConvKernel } from '../../kernels/short-conv.ts';
import { batchTable } from '../../layers/batch.ts';
import { anyHalves, anyNumbers, bufferOf } from './known-values.ts';

/** Of three texts: from its beginning, up to a page's end, and, just behind, what would follow on that; two pages each. */
const TOKENS = [
  ...[0, 1, 2].map((position) => ({ position, firstPage: 4 })),
  ...[PAGE_TOKENS - 2, PAGE_TOKENS - 1].map((position) => ({ position, firstPage: 2 })),
  ...[PAGE_TOKENS, PAGE_TOKENS + 1].map((position) => ({ position, firstPage: 0 })),
];
const PAGES = 6;

/** The convolution of a batch of several texts, some of whose tokens were computed before. */
export function convolutionCheck(
  device: Device,
  { hiddenSize: width }: ModelConfig,
  { taps }: ShortConvolution,
): Check {
  const next = anyNumbers();
  const [x, weights, before] = [
    anyHalves(TOKENS.length * 3 * width, next),
    anyHalves(taps * width, next),
    anyHalves(PAGES * PAGE_TOKENS * width, next),
  ];
  const table = batchTable(
    TOKENS.map(({ position, firstPage }) => ({
      place: 0,
      position,
      firstPage,
      page: Math.floor(position / PAGE_TOKENS),
    })),
  );
  const units = (PAGE_TOKENS * width * 4) / UNIT_BYTES;
  const pages = Array.from({ length: PAGES }, (_, i) =>
    pageEntry(i * units, 'f16', PAGE_TOKENS, (i % 2) * PAGE_TOKENS),
  ).flat();
  const [state, y] = [bufferOf(device, before), bufferOf(device, new Float32Array(TOKENS.length * width))];
  const bounds = {
    batch_table: bufferOf(device, table),
    pages: bufferOf(device, Uint32Array.from(pages)),
    x: bufferOf(device, x),
    taps: bufferOf(device, weights),
    state,
    y,
  };
  const taken = (position: number, firstPage: number, column: number): number => {
    const t = TOKENS.findIndex((token) => token.position === position && token.firstPage === firstPage);
    if (t < 0) return before[(firstPage * PAGE_TOKENS + position) * width + column]!;
    return x[t * 3 * width + column]! * x[(t * 3 + 2) * width + column]!;
  };
  const expected = TOKENS.flatMap(({ position, firstPage }, t) =>
    Array.from({ length: width }, (_, column) => {
      let sum = 0;
      for (let back = 0; back < taps && back <= position; back++)
        sum += weights[back * width + column]! * taken(position - back, firstPage, column);
      return x[(t * 3 + 1) * width + column]! * sum;
    }),
  );
  return {
    name: `short-conv × ${width}`,
    make() {
      const operation = createOperation(device, shortConvKernel(device, width, taps), bounds);
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(state, 0, before);
        recorder.run(operation, operation.groups({ tokens: TOKENS.length }));
      };
    },
    result: [{ buffer: y, offset: 0, size: TOKENS.length * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected,
    row: width,
  };
}
