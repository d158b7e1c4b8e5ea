import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { napping } from '../../../tools/instruments/node-gpu.ts';
import { openEncoderEngine } from '../../../src/engine/encoder-engine.ts';
import { createTokenizer } from '../../../src/tokenizer/tokenizer.ts';
import { openModelFile } from '../../../src/weights/open-model-file.ts';
import { readTokenizerMetadata } from '../../../src/weights/tokenizer-metadata.ts';
import { embed, ensureLlama } from '../../llama/llama.ts';
import { BytesSource } from '../../support/bytes-source.ts';
import { lastingGpu } from '../../support/gpu/lasting-gpu.ts';
import { f32, type MetadataValue, writeGguf } from '../../support/models/gguf-writer.ts';
import { E5_SIZES, readMultilingualE5 } from '../../support/models/multilingual-e5.ts';
import { temporaryFile } from '../../support/temporary-file.ts';
import { asGguf, xlmRobertaMetadata, xlmRobertaTokenizer } from '../../support/models/xlm-roberta-tokenizer.ts';

/** Pairs of sentences with the same meaning. */
const PAIRS = [
  ['The cat sleeps on the sofa.', 'Die Katze schläft auf dem Sofa.'],
  ['What does a litre of milk cost?', 'リットルの牛乳はいくらですか？'],
  ['The train to Moscow leaves at nine.', 'Поезд в Москву отправляется в девять.'],
  ['Quantum computers use superposition.', '量子计算机利用叠加态。'],
] as const;

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);
const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

async function e5Gguf(): Promise<Uint8Array> {
  const { pieces, tensors } = readMultilingualE5();
  const { hiddenSize, intermediateSize, numHeads, numLayers, contextLength, vocabSize } = E5_SIZES;
  const tokenizer = asGguf(await xlmRobertaMetadata(xlmRobertaTokenizer(pieces, 'merged'), vocabSize));
  const metadata: Record<string, MetadataValue> = {
    'general.architecture': 'bert',
    ...{
      'bert.block_count': numLayers,
      'bert.context_length': contextLength,
      'bert.embedding_length': hiddenSize,
      'bert.feed_forward_length': intermediateSize,
    },
    ...{
      'bert.attention.head_count': numHeads,
      'bert.attention.layer_norm_epsilon': f32(1e-12),
      'bert.attention.causal': false,
      'bert.pooling_type': 1,
    },
    ...(Object.fromEntries(tokenizer) as Record<string, MetadataValue>),
    'tokenizer.ggml.token_type_count': 2,
  };
  return writeGguf({ metadata, tensors });
}

test("multilingual-e5-small's vectors match llama.cpp, and are close for texts with the same meaning", async () => {
  await ensureLlama();
  const path = temporaryFile();
  const file = await e5Gguf();
  writeFileSync(path, file);
  const sources = [new BytesSource('multilingual-e5-small.gguf', file)];
  const engine = await openEncoderEngine({ gpu: lastingGpu(), wait: napping, sources });
  try {
    const texts = PAIRS.flat().map((text) => `query: ${text}`);
    const found: Float32Array[] = [];
    for await (const { vector } of engine.embed(texts, {})) found.push(vector);
    const tokenizer = createTokenizer(readTokenizerMetadata(await openModelFile(sources)));
    const theirs = await embed(
      path,
      texts.map((text) => tokenizer.encode(text)),
    );
    const cosines = found.map((vector, i) => cosine(vector, theirs[i]!));
    console.info(`least cosine of ${cosines.length} texts beside llama.cpp: ${Math.min(...cosines).toFixed(6)}`);
    expect(Math.min(...cosines)).toBeGreaterThanOrEqual(0.999);
    for (const [i] of PAIRS.entries()) {
      const near = PAIRS.map((_, j) => cosine(found[2 * i]!, found[2 * j + 1]!));
      expect(near.indexOf(Math.max(...near))).toBe(i);
    }
  } finally {
    engine.dispose();
  }
});
