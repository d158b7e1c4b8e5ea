import type { BertConfig, EncoderConfig } from '../config/encoder-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { WeightUpload } from '../layers/weight-upload.ts';
import { dequantize } from '../weights/dequantize.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
import {
  type BiasedWeights,
  Classifier,
  type Dense,
  Encoder,
  type EncoderWeights,
  type LayerNormWeights,
  type TextEncoder,
} from './encoder.ts';
import { BidirectionalEncoder, readBidirectional } from './bidirectional-encoder.ts';
import { type LoadingOptions, TensorLoader } from './tensor-loader.ts';

interface EncoderOptions extends LoadingOptions {
  /** Most tokens of a batch; a multiple of the prefill tile. */
  batchTokens: number;
  /** Most tokens of a text. */
  contextLength: number;
  /** Records the repacking of weights. */
  recorder: Recorder;
}

/** Loads an encoder onto the GPU. `tensors`: by name, as `checkEncoderTensors` returns them. Errors: those of `TensorLoader`. */
export async function loadEncoder(
  device: Device,
  config: EncoderConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  options: EncoderOptions,
): Promise<TextEncoder> {
  const upload = new WeightUpload(device, options.recorder);
  try {
    const loader = new TensorLoader(device, tensors, upload, options);
    const { batchTokens, contextLength } = options;
    if ('decoder' in config) {
      const weights = await readBidirectional(loader, config, contextLength);
      await upload.finish();
      return new BidirectionalEncoder(device, config, weights, batchTokens);
    }
    const weights = await readWeights(loader, config);
    await upload.finish();
    return new Encoder(device, config, weights, batchTokens);
  } finally {
    upload.destroy();
  }
}

async function readWeights(tensors: TensorLoader, config: BertConfig): Promise<EncoderWeights> {
  const norm = async (name: string): Promise<LayerNormWeights> => ({
    weight: await tensors.vector(`${name}.weight`),
    bias: await tensors.vector(`${name}.bias`),
  });
  const linears = async (label: string, ...names: string[]): Promise<BiasedWeights> => {
    const biases: Uint8Array[] = [];
    for (const name of names) biases.push(await tensors.read(`${name}.bias`));
    const bias = tensors.buffer(`${label}.bias`, new Uint8Array(await new Blob(biases as BlobPart[]).arrayBuffer()));
    return {
      matrices: await tensors.matrices(
        `${label}.weight`,
        names.map((name) => ({ tensor: tensors.tensor(`${name}.weight`) })),
      ),
      bias,
    };
  };
  const embeddings = await tensors.matrix('token_embd.weight');
  const positions = await readPositions(tensors, config);
  const embeddingNorm = await norm('token_embd_norm');
  const layers = [];
  for (let i = 0; i < config.numLayers; i++) {
    const name = (part: string): string => `blk.${i}.${part}`;
    layers.push({
      qkv: await linears(name('qkv'), ...['attn_q', 'attn_k', 'attn_v'].map(name)),
      attentionOutput: await linears(name('attn_output'), name('attn_output')),
      attentionNorm: await norm(name('attn_output_norm')),
      up: await linears(name('ffn_up'), name('ffn_up')),
      down: await linears(name('ffn_down'), name('ffn_down')),
      outputNorm: await norm(name('layer_output_norm')),
    });
  }
  const classifier =
    config.pooling === 'rank'
      ? new Classifier(await readDense(tensors, 'cls'), await readDense(tensors, 'cls.output'))
      : undefined;
  return { embeddings, positions, embeddingNorm, layers, classifier };
}

const readFloats = async (tensors: TensorLoader, name: string): Promise<Float32Array> =>
  dequantize(tensors.tensor(name).type, await tensors.read(name));

const readDense = async (tensors: TensorLoader, name: string): Promise<Dense> => ({
  weight: await readFloats(tensors, `${name}.weight`),
  bias: await readFloats(tensors, `${name}.bias`),
});

/** Sums position and segment embeddings on load: one position table per segment. */
async function readPositions(
  tensors: TensorLoader,
  { hiddenSize, contextLength, numSegments }: BertConfig,
): Promise<GPUBuffer> {
  const [positions, segments] = [
    await readFloats(tensors, 'position_embd.weight'),
    await readFloats(tensors, 'token_types.weight'),
  ];
  const size = contextLength * hiddenSize;
  const table = Float32Array.from(
    { length: numSegments * size },
    (_, i) => positions[i % size]! + segments[Math.floor(i / size) * hiddenSize + (i % hiddenSize)]!,
  );
  return tensors.buffer('positions', new Uint8Array(table.buffer));
}
