import { hasState, isConvolved } from '../../config/model-config.ts';
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

/** Whether there is room for it, and for pages that policies write anew; where layers take in rows of tokens, none does. */
export const mayUsePolicies = ({ plan }: Session): boolean =>
  plan.contextLength >= 4 * PAGE_TOKENS && plan.config.perLayerInputs === undefined;

/**
 * Of each layer: what a change of its attention output by the square 1, in a random direction, is of the square of the
 * residual stream that it is added to: ‖Wo‖² / (numHeads headDim ‖x‖²). It hardly depends on the text; the model computes
 * one of random tokens. What Wo makes of random signs has ‖Wo‖² on average. Where a norm
 * follows, a change counts beside the attention output a that is normed with it: ‖norm‖² / (‖a‖² ‖x‖²). Nothing else may run.
 * Errors: `device_lost`.
 */
export async function residualShares(session: Session): Promise<number[]> {
  const { device, recorder, transformer } = session;
  const { config, activations } = transformer;
  const { numLayers, hiddenSize, vocabSize, numHeads, headDim } = config;
  const width = numHeads * headDim;
  const rowBytes = hiddenSize * 4;
  const attendedBytes = config.postNorms ? READ_TOKENS * width * 4 : 0;
  const layerBytes = (READ_TOKENS + SIGN_TOKENS) * rowBytes + attendedBytes;
  const random = randomWords(TOKENS + SIGN_TOKENS * width);
  const ids = random.subarray(0, TOKENS).map((word) => word % vocabSize);
  const signs = Float32Array.from(random.subarray(TOKENS), (word) => (word & 1 ? 1 : -1));
  const put = device.buffers.create(
    'signs',
    'staging',
    signs.byteLength + SIGN_TOKENS * rowBytes,
    GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  );
  const read = device.buffers.create(
    'residual streams',
    'staging',
    numLayers * layerBytes,
    GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  );
  const sequence = new Sequence();
  try {
    const { queue } = device.gpuDevice;
    queue.writeBuffer(put, 0, signs); // zeros behind it
    session.sequences.reserve(sequence, TOKENS);
    queue.writeBuffer(activations.tokens, FIRST_PREFILL_TOKEN * 4, ids);
    const places = Array.from({ length: TOKENS }, (_, i) => ({
      sequence,
      position: i,
      place: FIRST_PREFILL_TOKEN + i,
    }));
    const first = UNREAD_TOKENS + READ_TOKENS;
    for (let layer = 0; layer < numLayers; layer++) {
      recorder.inOneGo(() =>
        session.forward(recorder, 'prefill', places, {
          layers: { from: layer, to: layer + 1 },
          tap(_, [linear]) {
            if (linear === 'attn_output') {
              recorder.copy(activations.x, UNREAD_TOKENS * rowBytes, read, layer * layerBytes, READ_TOKENS * rowBytes);
              if (attendedBytes > 0)
                recorder.copy(
                  activations.attended,
                  UNREAD_TOKENS * width * 4,
                  read,
                  (layer + 1) * layerBytes - attendedBytes,
                  attendedBytes,
                );
              recorder.copy(put, 0, activations.attended, first * width * 4, signs.byteLength);
              recorder.copy(put, signs.byteLength, activations.x, first * rowBytes, SIGN_TOKENS * rowBytes);
            } else if (linear === 'ffn_gate') {
              recorder.copy(
                activations.x,
                first * rowBytes,
                read,
                layer * layerBytes + READ_TOKENS * rowBytes,
                SIGN_TOKENS * rowBytes,
              );
            }
          },
        }),
      );
    }
    await unlessLost(device, read.mapAsync(GPUMapMode.READ));
    const found = read.getMappedRange();
    /** Of rows of a layer, from a byte of it on. */
    const squares = (layer: number, at: number, count: number, length: number): number[] => {
      const rows = new Float32Array(found, layer * layerBytes + at, count * length);
      return Array.from({ length: count }, (_, i) =>
        rows.subarray(i * length, (i + 1) * length).reduce((sum, value) => sum + value * value, 0),
      );
    };
    // Medians: of single tokens some layers make a hundred times as much.
    return Array.from({ length: numLayers }, (_, layer) => {
      if (isConvolved(config, layer) || hasState(config, layer)) return 0; // has no keys
      const made = mean(squares(layer, READ_TOKENS * rowBytes, SIGN_TOKENS, hiddenSize));
      const from =
        attendedBytes > 0 ? quantile(squares(layer, layerBytes - attendedBytes, READ_TOKENS, width), 0.5) : width;
      return made / (from * quantile(squares(layer, 0, READ_TOKENS, hiddenSize), 0.5));
    });
  } finally {
    device.buffers.destroy(put);
    device.buffers.destroy(read);
    session.release(sequence);
  }
}
