import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import type { LinearName } from '../adapters/formats/module-names.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { siluMulKernel } from '../kernels/silu-mul.ts';
import type { Activations } from './activations.ts';
import type { Batch } from './batch.ts';
import { Linear, linearsOf } from './linear.ts';
import { LoraDelta, loraInputs, LoraLowering } from './lora.ts';
import type { Norm } from './norm.ts';
import { changes, recordLora } from './unfused-lora.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface MlpWeights {
  norm: Norm;
  /** One matrix, gate above up; or the two apart where their types differ. */
  gateUp: readonly WeightMatrix[];
  down: WeightMatrix;
}

/** The linears for one kind of batch, and with adapters what stands around them. */
interface Linears {
  gateUp: readonly Linear[];
  /** gate, up and their product in one. */
  fused?: Linear | undefined;
  down: Linear;
  lora?: { gateUp: LoraLowering; down: LoraLowering; delta: LoraDelta };
}

const GATE_UP: readonly LinearName[] = ['ffn_gate', 'ffn_up'];
const DOWN: readonly LinearName[] = ['ffn_down'];

/** x += Wdown · (silu(Wgate · norm(x)) · (Wup · norm(x))). In decoding gate, up and their product are one dispatch. */
export class Mlp {
  readonly #siluMul: Operation<{ tokens: number }>;
  readonly #plain: Record<Batch['kind'], Linears>;
  #adapted: Record<Batch['kind'], Linears> | undefined;

  constructor(
    private readonly device: Device,
    private readonly layer: number,
    private readonly config: ModelConfig,
    private readonly activations: Activations,
    private readonly weights: MlpWeights,
  ) {
    const { gateUp, gated } = activations;
    this.#siluMul = createOperation(device, siluMulKernel(device, config.intermediateSize), { x: gateUp, y: gated });
    this.#plain = { decode: this.#linears('decode'), prefill: this.#linears('prefill') };
  }

  get norm(): Norm {
    return this.weights.norm;
  }

  /** Makes ready for the adapters of these buffers, or for none. `nextNorm`: of the next layer's attention, if any. */
  attach(buffers: ArenaBuffers | undefined, nextNorm: Norm | undefined): void {
    const linears = (kind: Batch['kind']) => this.#linears(kind, buffers && { buffers, nextNorm });
    this.#adapted = buffers && { decode: linears('decode'), prefill: linears('prefill') };
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { tokens, kind } = batch;
    const prefills = kind === 'prefill';
    const { gateUp, fused, down, lora } = ((batch.lora && this.#adapted) ?? this.#plain)[kind];
    // The product of gate and up cannot be made before an adapter's plain form has changed them.
    if (fused && !changes(batch.loras, this.layer, GATE_UP)) {
      fused.record(recorder, batch);
    } else {
      if (prefills) {
        this.norm.record(recorder, tokens);
        batch.tap?.(this.layer, GATE_UP, this.norm.output);
      }
      if (prefills) lora?.gateUp.record(recorder, batch);
      for (const linear of gateUp) linear.record(recorder, batch);
      recordLora(recorder, batch, this.layer, GATE_UP);
      recorder.run(this.#siluMul, this.#siluMul.groups({ tokens }));
    }
    if (prefills) batch.tap?.(this.layer, DOWN, this.activations.gated);
    if (prefills) lora?.down.record(recorder, batch);
    down.record(recorder, batch);
    if (!prefills) lora?.delta.record(recorder, batch);
    recordLora(recorder, batch, this.layer, DOWN);
  }

  #linears(kind: Batch['kind'], adapters?: { buffers: ArenaBuffers; nextNorm: Norm | undefined }): Linears {
    const { device, layer, config } = this;
    const { x, between, gateUp, gated, normed } = this.activations;
    const { norm } = this.weights;
    const inputs = loraInputs(config);
    // With adapters a token being decoded comes here in `between`, and goes on in x.
    const residual = adapters && kind === 'decode' ? between : x;
    const lora = (of: 'gateUp' | 'down') => adapters && { ...inputs[of], layer, buffers: adapters.buffers };
    const behindNorm = { x: residual, norm, kind, lora: lora('gateUp') };
    const [matrix, ...others] = this.weights.gateUp;
    const fuses = kind === 'decode' && matrix && others.length === 0 && matrix.slices.length === 1;
    const linears = {
      gateUp: linearsOf(device, this.weights.gateUp, { ...behindNorm, y: gateUp }),
      fused: fuses ? new Linear(device, matrix, { ...behindNorm, y: gated, gated: true }) : undefined,
      down: new Linear(device, this.weights.down, { x: gated, y: residual, accumulate: true, kind, lora: lora('down') }),
    };
    if (!adapters) return linears;
    const { buffers, nextNorm } = adapters;
    const next = { normWeight: nextNorm?.weight ?? norm.weight, isLast: !nextNorm };
    const delta = { x: between, y: x, adds: inputs.down, lowers: inputs.qkv, ...next };
    return {
      ...linears,
      lora: {
        gateUp: new LoraLowering(device, layer, normed, config.hiddenSize, inputs.gateUp, buffers),
        down: new LoraLowering(device, layer, gated, config.intermediateSize, inputs.down, buffers),
        delta: new LoraDelta(device, nextNorm ? layer + 1 : layer, config.hiddenSize, delta, buffers),
      },
    };
  }
}
