import { quantile } from '../../config/quantile.ts';
import { randomWords } from '../../config/random-words.ts';
import { unlessLost } from '../../gpu/readback.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import { FIRST_PREFILL_TOKEN } from '../../layers/batch.ts';
import { Sequence } from '../sequence.ts';
import type { Session } from '../session.ts';

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Tokens of any text: the first of them are unlike others, of the next the residual stream is read; the rest have signs in place of attention. */
const UNREAD_TOKENS = 4;
const READ_TOKENS = 12;
const SIGN_TOKENS = 8;
const TOKENS = UNREAD_TOKENS + READ_TOKENS + SIGN_TOKENS;

/** Whether there is room for it, and for pages that policies write anew. */
export const mayUsePolicies = ({ plan }: Session): boolean => plan.contextLength >= 4 * PAGE_TOKENS;

/**
 * Of each layer: what a change of its attention output by the square 1, in a random direction, is of the square of the
 * residual stream that it is added to: ‖Wo‖² / (numHeads headDim ‖x‖²). It hardly depends on the text; the model computes
 * one of random tokens. What Wo makes of random signs has ‖Wo‖² on average. Nothing else may run. Errors: `device_lost`.
 */
export async function residualShares(session: Session): Promise<number[]> {
  const { device, recorder, transformer } = session;
  const { config, activations } = transformer;
  const { numLayers, hiddenSize, vocabSize, numHeads, headDim } = config;
  const width = numHeads * headDim;
  const rowBytes = hiddenSize * 4;
  const layerBytes = (READ_TOKENS + SIGN_TOKENS) * rowBytes;
  const random = randomWords(TOKENS + SIGN_TOKENS * width);
  const ids = random.subarray(0, TOKENS).map((word) => word % vocabSize);
  const signs = Float32Array.from(random.subarray(TOKENS), (word) => (word & 1 ? 1 : -1));
  const put = device.buffers.create('signs', 'staging', signs.byteLength + SIGN_TOKENS * rowBytes, GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST);
  const read = device.buffers.create('residual streams', 'staging', numLayers * layerBytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  const sequence = new Sequence();
  try {
    const { queue } = device.gpuDevice;
    queue.writeBuffer(put, 0, signs); // zeros behind it
    session.sequences.reserve(sequence, TOKENS);
    queue.writeBuffer(activations.tokens, FIRST_PREFILL_TOKEN * 4, ids);
    const places = Array.from({ length: TOKENS }, (_, i) => ({ sequence, position: i, place: FIRST_PREFILL_TOKEN + i }));
    const first = UNREAD_TOKENS + READ_TOKENS;
    for (let layer = 0; layer < numLayers; layer++) {
      recorder.inOneGo(() =>
        session.forward(recorder, 'prefill', places, {
          layers: { from: layer, to: layer + 1 },
          tap(_, [linear]) {
            if (linear === 'attn_output') {
              recorder.copy(activations.x, UNREAD_TOKENS * rowBytes, read, layer * layerBytes, READ_TOKENS * rowBytes);
              recorder.copy(put, 0, activations.attended, first * width * 4, signs.byteLength);
              recorder.copy(put, signs.byteLength, activations.x, first * rowBytes, SIGN_TOKENS * rowBytes);
            } else if (linear === 'ffn_gate') {
              recorder.copy(activations.x, first * rowBytes, read, layer * layerBytes + READ_TOKENS * rowBytes, SIGN_TOKENS * rowBytes);
            }
          },
        }),
      );
    }
    await unlessLost(device, read.mapAsync(GPUMapMode.READ));
    const rows = new Float32Array(read.getMappedRange());
    const squares = (row: number, count: number): number[] =>
      Array.from({ length: count }, (_, i) => rows.subarray((row + i) * hiddenSize, (row + i + 1) * hiddenSize).reduce((sum, value) => sum + value * value, 0));
    return Array.from({ length: numLayers }, (_, layer) => {
      const row = layer * (READ_TOKENS + SIGN_TOKENS);
      // The median: of single tokens some layers make a hundred times as much.
      return mean(squares(row + READ_TOKENS, SIGN_TOKENS)) / (width * quantile(squares(row, READ_TOKENS), 0.5));
    });
  } finally {
    device.buffers.destroy(put);
    device.buffers.destroy(read);
    session.release(sequence);
  }
}
