import type { Activation } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation, type Operation } from '../../gpu/operation.ts';
import type { Dispatcher } from '../../gpu/recorder.ts';
import type { LinearDecodeSize } from '../../kernels/linear-decode.ts';
import { GROUP_TOKENS, groupedPlaces } from '../../kernels/experts/group-experts.ts';
import { decodeKernel } from '../../kernels/linears/linear-kernels.ts';
import type { Norm } from '../norm.ts';
import type { WeightMatrix } from '../weight-matrix.ts';

export interface ExpertLinearOptions {
  /** Of all experts, whose rows lie one below the other; an expert's in one slice. */
  matrix: WeightMatrix;
  /** Experts of the matrix. */
  count: number;
  /** Which expert each row of y is of; see route-experts.ts, or group-experts.ts where they are grouped. */
  routes: GPUBuffer;
  isGrouped?: boolean;
  x: GPUBuffer;
  y: GPUBuffer;
  /** Rows of y, one after another, that read one of x. */
  used: number;
  /** Applied to x first. */
  norm?: Norm | undefined;
  /** An expert's rows are gate, then up: y = activation(gate) · up. */
  gate?: Activation | undefined;
}

/** y `[rows]`: each W of its expert · norm(x). A slice's dispatch leaves out what goes through experts of others. */
export class ExpertLinear {
  readonly #operations: readonly Operation<LinearDecodeSize>[];
  readonly #rows: number;

  constructor(
    device: Device,
    private readonly options: ExpertLinearOptions,
  ) {
    const { matrix, count, routes, x, y, used, norm, gate, isGrouped = false } = options;
    this.#rows = matrix.rows / count;
    const kernel = decodeKernel(device, {
      type: matrix.type,
      columns: matrix.columns,
      normEps: norm?.eps,
      gate,
      routed: { used, grouped: isGrouped },
      tokens: isGrouped ? GROUP_TOKENS : 1,
    });
    const bounds = { x, y, routes, ...(norm && { norm_weight: norm.weight }) };
    this.#operations = matrix.slices.map(({ planes }) => createOperation(device, kernel, { ...planes, ...bounds }));
  }

  /** `tokens`: of y. */
  record(recorder: Dispatcher, tokens: number): void {
    const rows = this.#rows;
    const { matrix, count, gate, isGrouped } = this.options;
    const outputWidth = gate ? rows / 2 : rows;
    const places = isGrouped ? groupedPlaces(tokens, count) : tokens;
    matrix.slices.forEach((slice, i) => {
      const operation = this.#operations[i] as Operation<LinearDecodeSize>;
      const params = {
        rowStart: 0,
        rows,
        scale: 1,
        tokens,
        outputWidth,
        firstExpert: slice.rowStart / rows,
        experts: slice.rows / rows,
      };
      recorder.run(operation, operation.groups({ outputs: outputWidth, tokens: places }), params);
    });
  }
}
