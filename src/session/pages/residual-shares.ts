import { hasState, isConvolved } from '../../config/model-config.ts';
import { quantile, randomWords } from '../../util/numbers.ts';
import { unlessLost } from '../../gpu/device.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import { FIRST_PREFILL_TOKEN } from '../../layers/batch.ts';
import { Sequence } from '../sequence.ts';
import type { Session } from '../session.ts';

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Tokens of a random text: the first ones are atypical and not read; the residual stream of the next ones is read;
 * the rest have random signs as attention output.
 */
const UNREAD_TOKENS = 4;
const READ_TOKENS = 12;
const SIGN_TOKENS = 8;
const TOKENS = UNREAD_TOKENS + READ_TOKENS + SIGN_TOKENS;

/** Whether the context has room for it and for cache policies. Models with per-layer inputs have no policies. */
export const mayUsePolicies = ({ plan }: Session): boolean =>
  plan.contextLength >= 4 * PAGE_TOKENS && plan.config.perLayerInputs === undefined;

/**
 * For each layer: the squared relative change of the residual stream for an attention output of norm one in a random
 * direction: ‖Wo‖² / (numHeads headDim ‖x‖²). It hardly depends on the text; the model computes a random one. The
 * product of Wo with random signs has squared norm ‖Wo‖² on average. If a norm follows, the change counts relative
 * to the attention output a that is normed with it: ‖norm‖² / (‖a‖² ‖x‖²). Nothing else may run.
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
    queue.writeBuffer(put, 0, signs); // followed by zeros
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
        session.batches.forward(recorder, 'prefill', places, {
          layers: { from: layer, to: layer + 1 },
          onLinearInput(_, [linear]) {
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
    /** Squared norms of rows of a layer, from byte `at` on. */
    const squares = (layer: number, at: number, count: number, length: number): number[] => {
      const rows = new Float32Array(found, layer * layerBytes + at, count * length);
      return Array.from({ length: count }, (_, i) =>
        rows.subarray(i * length, (i + 1) * length).reduce((sum, value) => sum + value * value, 0),
      );
    };
    // Medians: some layers amplify single tokens a hundredfold.
    return Array.from({ length: numLayers }, (_, layer) => {
      if (isConvolved(config, layer) || hasState(config, layer)) return 0; // no keys
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
