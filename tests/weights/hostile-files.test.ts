import { describe, expect, test } from 'vitest';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { openSafetensorsModel } from '../../src/weights/safetensors/safetensors-model.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { cpuMs } from '../support/cpu-time.ts';
import { expectError } from '../support/expect-error.ts';
import { f32, type MetadataValue } from '../support/models/gguf-writer.ts';
import { modelFolder } from '../support/models/safetensors-folder.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

/** Limit of one CPU second, independent of other load. */
async function inTime(work: () => Promise<void>): Promise<void> {
  const start = cpuMs();
  await work();
  expect(cpuMs() - start).toBeLessThan(1000);
}

const nested = (depth: number, open = '[', close = ']'): string => open.repeat(depth) + close.repeat(depth);
/** The text of a JSON file with another text for the value of one key. */
const withText =
  (key: string, value: string) =>
  (text: string): string =>
    JSON.stringify({ ...(JSON.parse(text) as object), [key]: '@' }).replace('"@"', value);

/** Name, model, one of its files, the change to its text, and the field and reason of the error. */
type HostileText = [string, string, string, (text: string) => string, [string, RegExp]];

describe('safetensors', () => {
  test.each<HostileText>([
    ...(['50000000', '1000000000', '9007199254740992', '1e999'] as const).map((size): HostileText => [
      `a vocab_size of ${size}`,
      'llama',
      'config.json',
      withText('vocab_size', size),
      ['vocab_size', /but the embeddings are \[273, 32\]/],
    ]),
    [
      'a vocab_size that is no whole number',
      'llama',
      'config.json',
      withText('vocab_size', '0.5'),
      ['vocab_size', /whole number/],
    ],
    [
      'more tokens than embeddings have rows',
      'llama',
      'config.json',
      withText('vocab_size', '2097152'),
      ['vocab_size', /but the embeddings are \[273, 32\]/],
    ],
    ['heads of 1e12', 'llama3', 'config.json', withText('head_dim', '1000000000000'), ['head_dim', /1 to 256/]],
    ['no heads', 'llama3', 'config.json', withText('num_attention_heads', '0'), ['num_attention_heads', /1 to 1024/]],
    [
      'layers below zero',
      'llama',
      'config.json',
      withText('num_hidden_layers', '-1'),
      ['num_hidden_layers', /1 to 1024/],
    ],
    [
      'a context of 2^53',
      'llama',
      'config.json',
      withText('max_position_embeddings', '9007199254740992'),
      ['max_position_embeddings', /1 to 1073741824/],
    ],
    [
      'frequencies divided by nothing',
      'llama3',
      'config.json',
      withText(
        'rope_parameters',
        '{"rope_type":"llama3","factor":0,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64,"rope_theta":10000}',
      ),
      ['rope_parameters.factor', /above 0/],
    ],
    [
      'a token whose id is an object',
      'llama',
      'tokenizer.json',
      withText('added_tokens', '[{"content":"x","id":{"toString":1}}]'),
      ['x', /of type object/],
    ],
    ['a model of the wrong kind', 'llama', 'tokenizer.json', withText('model', '[[]]'), ['model', /object/]],
  ])('%s', async (_, model, file, change, [field, reason]) =>
    inTime(() =>
      expectError(() => openSafetensorsModel(modelFolder(model, { [file]: change })), 'bad_file', {
        file,
        field,
        reason,
      }),
    ),
  );

  test.each([
    [
      '5,000 nested pre-tokenizers',
      'tokenizer.json',
      'pre_tokenizer',
      nested(5000, '{"type":"Sequence","pretokenizers":[', ']}'),
    ],
    [
      '20,000 nested normalizers',
      'tokenizer.json',
      'normalizer',
      nested(20_000, '{"type":"Sequence","normalizers":[', ']}'),
    ],
    [
      '100,000 nested post-processors',
      'tokenizer.json',
      'post_processor',
      nested(100_000, '{"type":"Sequence","processors":[', ']}'),
    ],
    ['1,000,000 nested arrays', 'config.json', 'architectures', nested(1_000_000)],
  ])('%s', async (_, file, key, value) =>
    inTime(() =>
      expectError(() => openSafetensorsModel(modelFolder('llama', { [file]: withText(key, value) })), 'bad_file', {
        file,
        reason: /nested more than 64 deep/,
      }),
    ),
  );

  test('a template of 2 MiB', async () => {
    const files = modelFolder('llama', { 'chat_template.jinja': () => 'x'.repeat(2 << 20) });
    await inTime(() =>
      expectError(() => openSafetensorsModel(files), 'bad_file', { file: 'chat_template.jinja', reason: /at most/ }),
    );
  });

  test('an index whose shards are no names', async () => {
    const files = modelFolder('llama3', {
      'model.safetensors.index.json': withText('weight_map', '{"model.norm.weight":{"toString":1}}'),
    });
    await expectError(() => openSafetensorsModel(files), 'bad_file', {
      file: 'model.safetensors.index.json',
      field: 'model.norm.weight',
      reason: /of type object/,
    });
  });
});

const SIZES = { seed: 1, numLayers: 1, hiddenSize: 32, intermediateSize: 32, numHeads: 1, numKvHeads: 1 } as const;

describe('GGUF', () => {
  async function open(metadata: Record<string, MetadataValue>, tokenizer: 'gpt2' | 'llama' = 'gpt2') {
    const model = tinyModel({ ...SIZES, architecture: 'llama', type: 'F32', tokenizer, metadata });
    return openGguf([new BytesSource('tiny.gguf', model)]);
  }

  test.each<[string, MetadataValue]>([
    ['llama.rope.freq_base', f32(1e-38)],
    ['llama.rope.scaling.factor', { type: 'f64', value: 5e-324 }],
    ['llama.attention.layer_norm_rms_epsilon', f32(1e-44)],
  ])('%s so small that what is computed with it is not finite', async (key, value) => {
    const file = await open({ [key]: value });
    await expectError(() => readModelConfig(file), 'bad_file', { file: 'tiny.gguf', field: key, reason: /at least/ });
  });

  const pieces = (texts: readonly string[]): Record<string, MetadataValue> => ({
    'tokenizer.ggml.tokens': ['<unk>', '<s>', '</s>', ...texts],
    'tokenizer.ggml.token_type': Int32Array.from(['', '', '', ...texts], (_, id) => (id < 3 ? 3 : 1)),
    'tokenizer.ggml.scores': Float32Array.from(['', '', '', ...texts], (_, id) => -id),
  });
  /** `aaa…` of every length: each can be divided at every place. */
  const runs = Array.from({ length: 1000 }, (_, i) => 'a'.repeat(i + 1));
  const userDefined = (texts: readonly string[]): Record<string, MetadataValue> => ({
    'tokenizer.ggml.tokens': ['<|endoftext|>', '<|im_start|>', '<|im_end|>', ...texts],
    'tokenizer.ggml.token_type': Int32Array.from(['', '', '', ...texts], (_, id) => (id < 3 ? 3 : 4)),
  });

  test.each<[string, 'gpt2' | 'llama', Record<string, MetadataValue>, string, RegExp]>([
    [
      'a SentencePiece token of 20,000 characters',
      'llama',
      pieces(['a', 'a'.repeat(20_000)]),
      'tokens',
      /token 4 has 20000 characters/,
    ],
    ['a SentencePiece vocabulary of runs of one letter', 'llama', pieces(runs), 'tokens', /too long and too many/],
    [
      'a user-defined token of 5 MB',
      'gpt2',
      userDefined(['x'.repeat(5_000_000)]),
      'tokens',
      /token 3 has 5000000 characters/,
    ],
    [
      'user-defined tokens of 2 MB in all',
      'gpt2',
      userDefined(Array.from({ length: 600 }, (_, i) => `${i}${'x'.repeat(3500)}`)),
      'token_type',
      /characters; at most/,
    ],
  ])('%s', async (_, tokenizer, metadata, key, reason) => {
    const file = await open(metadata, tokenizer);
    const metadataOf = readTokenizerMetadata(file);
    await inTime(() =>
      expectError(() => createTokenizer(metadataOf), 'bad_file', {
        file: 'tiny.gguf',
        field: `tokenizer.ggml.${key}`,
        reason,
      }),
    );
  });

  test('long tokens and many special tokens are accepted', async () => {
    const texts = [
      'a',
      'aa',
      'a'.repeat(4096),
      'b'.repeat(700),
      ...Array.from({ length: 100 }, (_, i) => 'c'.repeat(i + 1)),
    ];
    const long = createTokenizer(
      readTokenizerMetadata(await open({ ...pieces(texts), 'tokenizer.ggml.add_space_prefix': false }, 'llama')),
    );
    expect(long.encode('c'.repeat(64), { addSpecial: false })).toHaveLength(1);
    const many = Array.from({ length: 20_000 }, (_, i) => `<custom_token_${i}>`);
    const speech = createTokenizer(readTokenizerMetadata(await open(userDefined(many))));
    expect(speech.encode('<custom_token_7><custom_token_19999>', { addSpecial: false })).toEqual([10, 20_002]);
  });
});
