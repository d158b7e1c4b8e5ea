import type { InputRms } from '../../src/adapters/rank-ladder.ts';
import { type LinearName, linearShape } from '../../src/architectures/linears.ts';
import { ggufName } from '../../src/adapters/module-names.ts';
import { unlessLost } from '../../src/gpu/device.ts';
import { FIRST_PREFILL_TOKEN } from '../../src/layers/batch.ts';
import { Sequence } from '../../src/session/sequence.ts';
import type { Session } from '../../src/session/session.ts';

interface Tapped {
  layer: number;
  linears: readonly LinearName[];
  width: number;
  offset: number;
}

/**
 * RMS per channel of the inputs of every linear of the base model, over `tokens` (at most one batch, more than
 * MAX_SEQUENCES). The first token is excluded, because its activations are far larger in any model. Errors:
 * `device_lost`, `context_overflow`.
 */
export async function inputRms(session: Session, tokens: readonly number[]): Promise<InputRms> {
  const { device, recorder, transformer } = session;
  const { config, batchTokens, activations } = transformer;
  const ids = new Uint32Array(tokens.slice(0, batchTokens));
  const sequence = new Sequence();
  const tapped: Tapped[] = [];
  let size = 0;
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const linears of [
      ['attn_q', 'attn_k', 'attn_v'],
      ['attn_output'],
      ['ffn_gate', 'ffn_up'],
      ['ffn_down'],
    ] as const) {
      const width = linearShape(config, linears[0])[1];
      tapped.push({ layer, linears, width, offset: size });
      size += ids.length * width * 4;
    }
  }
  const { MAP_READ, COPY_DST } = GPUBufferUsage;
  const inputs = device.buffers.create('calibration', 'staging', size, MAP_READ | COPY_DST);
  try {
    session.sequences.reserve(sequence, ids.length);
    device.gpuDevice.queue.writeBuffer(activations.tokens, FIRST_PREFILL_TOKEN * 4, ids);
    const places = Array.from(ids, (_, i) => ({ sequence, position: i, place: FIRST_PREFILL_TOKEN + i }));
    let next = 0;
    recorder.inOneGo(() =>
      session.batches.forward(recorder, 'prefill', places, {
        onLinearInput(_layer, _linears, x) {
          const { width, offset } = tapped[next++] as Tapped;
          recorder.copy(x, 0, inputs, offset, ids.length * width * 4);
        },
      }),
    );
    await unlessLost(device, inputs.mapAsync(GPUMapMode.READ));
    const values = new Float32Array(inputs.getMappedRange());
    return new Map(
      tapped.flatMap(({ layer, linears, width, offset }) => {
        const rms = columnRms(values.subarray(offset / 4 + width, offset / 4 + ids.length * width), width);
        return linears.map((linear) => [ggufName({ layer, linear }), rms] as const);
      }),
    );
  } finally {
    device.buffers.destroy(inputs);
    session.release(sequence);
  }
}

function columnRms(values: Float32Array, width: number): Float32Array {
  const squares = new Float64Array(width);
  values.forEach((value, i) => (squares[i % width]! += value * value));
  return Float32Array.from(squares, (square) => Math.sqrt((square * width) / values.length));
}
