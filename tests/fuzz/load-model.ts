import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { checkFinite } from '../../src/kernels/formats/finite-weights.ts';
import { repack } from '../../src/kernels/formats/repack.ts';
import { renderChat } from '../../src/tokenizer/chat-template.ts';
import { chatTraits, withMarkers } from '../../src/tokenizer/chat-traits.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { checkEncoderTensors, isEncoder, readEncoderConfig } from '../../src/weights/encoder-config.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import type { ModelHeader } from '../../src/weights/model-header.ts';
import { checkTensors } from '../../src/weights/model-tensors.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { check } from './kind.ts';

const TEXT = 'Hello, the world: 123 \n<|im_start|> ▁é\u0000😀';

function readEncoder(file: ModelHeader) {
  const config = readEncoderConfig(file);
  return { config, tensors: checkEncoderTensors(file, config) };
}

function readAnswering(file: ModelHeader) {
  const config = readModelConfig(file);
  return { config, tensors: checkTensors(file, config) };
}

/** Loads a model as far as possible without a GPU, and checks the result for consistency. */
export async function loadModel(file: ModelHeader): Promise<void> {
  const { config, tensors } = isEncoder(file) ? readEncoder(file) : readAnswering(file);
  const metadata = readTokenizerMetadata(file);
  const tokenizer = withMarkers(createTokenizer(metadata), metadata);
  check(tokenizer.vocabSize === config.vocabSize, `${tokenizer.vocabSize} tokens for ${config.vocabSize} rows`);
  for (const parseSpecial of [false, true]) {
    const ids = tokenizer.encode(TEXT, { parseSpecial });
    check(
      ids.every((id) => Number.isInteger(id) && id >= 0 && id < config.vocabSize),
      `ids ${ids.join()}`,
    );
    check(typeof tokenizer.decode(ids) === 'string', 'the text');
  }
  chatTraits(metadata);
  try {
    check(typeof renderChat(metadata, [{ role: 'user', content: 'Hi' }]) === 'string', 'the prompt');
  } catch (error) {
    // A template's refusal is a fault of the request.
    if (!(error instanceof ChunkwiseError) || error.code !== 'bad_request') throw error;
  }
  for (const tensor of tensors.values()) {
    const bytes = await tensor.source.read(tensor.offset, tensor.bytes);
    check(bytes.length === tensor.bytes, `${tensor.name} of ${bytes.length} bytes`);
    checkFinite(tensor, repack(tensor.type, bytes));
  }
}
