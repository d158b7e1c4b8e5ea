import { expect, test } from 'vitest';
import { GGML_TYPES, type GgmlType } from '../../src/weights/ggml-types.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { poisoned } from '../support/models/poisoned.ts';
import { modelFolder } from '../support/models/safetensors-folder.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';

const SIZES = { seed: 3, numLayers: 1, hiddenSize: 64, intermediateSize: 64, numHeads: 2, numKvHeads: 1 };
const SUPER = { ...SIZES, hiddenSize: 256, intermediateSize: 256 };

/** On either class of device: the GPU checks weights that it repacks, JavaScript those for software adapters. */
async function expectRefused(options: TinyModelOptions, name: string): Promise<void> {
  const model = tinyModel(options);
  const tensor = (await openGguf([new BytesSource('tiny.gguf', model)])).tensors.find((each) => each.name === name)!;
  const bad = await poisoned(model, name, GGML_TYPES[tensor.type].blockBytes);
  const gpu = countGpu();
  for (const deviceClass of ['cpu', 'gpu'] as const) {
    await expectError(() => engineUnderTest(bad, { deviceClass }), 'bad_file', {
      file: 'tiny.gguf',
      field: name,
      reason: /NaN/,
    });
    expect(gpu.live.size).toBe(0);
    const allowed = ['immediate_address_space', ...(deviceClass === 'gpu' ? ['repack'] : [])];
    expect([...gpu.kernels].filter((kernel) => !allowed.includes(kernel))).toEqual([]);
  }
}

test.each(Object.keys(GGML_TYPES) as GgmlType[])(
  '%s: a model with a NaN is refused while it is uploaded, naming the matrix',
  async (type) => {
    const sizes = GGML_TYPES[type].blockSize > SIZES.hiddenSize ? SUPER : SIZES;
    await expectRefused({ ...sizes, architecture: 'llama', type }, 'blk.0.attn_k.weight');
  },
);

test.each([
  ['llama', 'token_embd.weight'],
  ['llama', 'output.weight'],
  ['llama', 'output_norm.weight'],
  ['llama', 'blk.0.attn_norm.weight'],
  ['llama', 'blk.0.ffn_down.weight'],
  ['llama', 'rope_freqs.weight'],
  ['qwen2', 'blk.0.attn_k.bias'],
  ['qwen3', 'blk.0.attn_q_norm.weight'],
] as const)('%s: a model with a NaN in %s is refused', (architecture, name) =>
  expectRefused({ ...SIZES, architecture, type: 'F32', tied: false, ropeFreqs: true }, name),
);

test('frequency divisors of 0, which would turn every position into NaN, are refused', async () => {
  const model = tinyModel({ ...SIZES, architecture: 'llama', type: 'F32', ropeFreqs: true });
  const { offset } = (await openGguf([new BytesSource('tiny.gguf', model)])).tensors.find(
    ({ name }) => name === 'rope_freqs.weight',
  )!;
  model.fill(0, offset, offset + 4);
  await expectError(() => engineUnderTest(model), 'bad_file', {
    file: 'tiny.gguf',
    field: 'rope_freqs.weight',
    reason: /above 0/,
  });
});

test('weights so large that logits are not finite are refused at the first logits', async () => {
  const model = tinyModel({ ...SIZES, architecture: 'llama', type: 'F32' });
  const { offset, bytes } = (await openGguf([new BytesSource('tiny.gguf', model)])).tensors.find(
    ({ name }) => name === 'blk.0.ffn_down.weight',
  )!;
  new Float32Array(model.buffer, model.byteOffset + offset, bytes / 4).fill(3e38);
  await expectError(() => engineUnderTest(model), 'bad_file', {
    file: 'tiny.gguf',
    field: 'tensors',
    reason: /not finite/,
  });
});

test('safetensors: an infinity in a matrix that is quantized while it is read is refused', async () => {
  const files = await Promise.all(
    modelFolder('llama').map(async (file) => {
      if (!file.name.endsWith('.safetensors')) return file;
      const bytes = (await file.read(0, file.size)).slice();
      new DataView(bytes.buffer).setUint32(bytes.length - 4, 0x7f807f80, true); // an infinity in F32, and two in BF16
      return new BytesSource(file.name, bytes);
    }),
  );
  await expectError(() => engineUnderTest(files), 'bad_file', { file: 'model.safetensors', reason: /infinite|NaN/ });
});
