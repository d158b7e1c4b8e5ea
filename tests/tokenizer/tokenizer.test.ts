import { openAsBlob } from 'node:fs';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { TOKEN_TYPES, type TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { BlobSource } from '../../src/weights/byte-source.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { detokenize, endTokens, ensureLlama, tokenize } from '../llama/llama.ts';
import { cpuMs } from '../support/cpu-time.ts';
import { expectError } from '../support/expect-error.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';
import { TEXTS } from './texts.ts';

vi.setConfig({ testTimeout: 30_000 });
beforeAll(ensureLlama, 300_000);

let metadata: TokenizerMetadata;
let tokenizer: Tokenizer;

beforeAll(async () => {
  const file = await readGguf(new BlobSource('SmolLM2.gguf', await openAsBlob(REAL_MODEL)));
  metadata = readTokenizerMetadata(file);
  tokenizer = createTokenizer(metadata);
});

describe('SmolLM2', () => {
  it.each([false, true])('has the ids of llama.cpp, parseSpecial %s', async (parseSpecial) => {
    const expected = await tokenize(REAL_MODEL, TEXTS, parseSpecial);
    TEXTS.forEach((text, i) => expect(tokenizer.encode(text, { parseSpecial }), text).toEqual(expected[i]));
  });

  it('decodes as llama.cpp does', async () => {
    const lists = TEXTS.map((text) => tokenizer.encode(text, { parseSpecial: true }));
    const expected = await detokenize(REAL_MODEL, lists);
    lists.forEach((ids, i) => expect(tokenizer.decode(ids)).toBe(expected[i]));
  });

  it('decodes every well-formed text back', () => {
    for (const text of TEXTS.filter((text) => !/\p{Cs}/u.test(text))) {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  it('ends where llama.cpp ends', async () => {
    expect([...tokenizer.eosIds].sort()).toEqual((await endTokens(REAL_MODEL)).sort());
    expect(tokenizer.eosIds.has(tokenizer.encode('<|im_end|>', { parseSpecial: true })[0]!)).toBe(true);
  });

  it('has a control token for each text that ends an answer, whatever its type in the file', () => {
    const end = metadata.tokens.indexOf('<|im_end|>');
    const tokenTypes = Array.from(metadata.tokenTypes!).with(end, TOKEN_TYPES.normal);
    const normal = createTokenizer({ ...metadata, tokenTypes });
    expect(normal.isSpecial(end)).toBe(true);
    expect(normal.encode('<|im_end|>', { parseSpecial: true })).toEqual([end]);
  });

  it('knows its special tokens', () => {
    expect(tokenizer.vocabSize).toBe(49_152);
    expect(tokenizer.bosId).toBe(1);
    expect(tokenizer.isSpecial(1)).toBe(true);
    expect(tokenizer.isSpecial(1000)).toBe(false);
    expect(tokenizer.tokenBytes(1)).toHaveLength(0);
    expect(tokenizer.tokenBytes(49_152)).toHaveLength(0);
  });

  it('adds BOS and EOS if the file asks for them and the options allow it', () => {
    const adding = createTokenizer({ ...metadata, addBos: true, addEos: true });
    const ids = tokenizer.encode('Hello');
    expect(adding.encode('Hello')).toEqual([1, ...ids, 2]);
    expect(adding.encode('Hello', { addSpecial: false })).toEqual(ids);
    expect(adding.encode('<|im_start|>Hello', { parseSpecial: true })).toEqual([1, ...ids, 2]);
  });
});

describe('a prompt that is too long', () => {
  const megabyte: Record<string, string> = {
    emoji: '👩‍👩‍👧😀'.repeat(45_454),
    'one letter': 'a'.repeat(1e6),
    spaces: ' '.repeat(1e6),
    'lines and spaces': ' \n'.repeat(5e5),
    'two-letter words': ' a'.repeat(5e5),
    'special tokens': '<|im_end|>'.repeat(1e5),
    'letters at random': Array.from({ length: 1e6 }, (_, i) => 'abcdefghij'[((i * 2_654_435_761) >>> 7) % 10]).join(''),
  };

  it.each(Object.keys(megabyte))('is refused within two CPU seconds: 1 MB of %s', async (name) => {
    const start = cpuMs();
    const options = { maxTokens: 4096, parseSpecial: true };
    await expectError(() => tokenizer.encode(megabyte[name]!, options), 'context_overflow', {
      field: 'prompt',
      reason: /4096/,
    });
    expect(cpuMs() - start).toBeLessThan(2000);
  });

  it('has more tokens than maxTokens; an equal number is allowed', async () => {
    expect(tokenizer.encode('one two three', { maxTokens: 3 })).toHaveLength(3);
    await expectError(() => tokenizer.encode('one two three', { maxTokens: 2 }), 'context_overflow', {});
  });

  it('is encoded whole without maxTokens, in linear time, and stays the same text', () => {
    const text = megabyte['emoji']!;
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });
});

describe('a file that contradicts itself is refused', () => {
  const cases: [string, Partial<TokenizerMetadata>, 'bad_file' | 'unsupported', string][] = [
    ['another tokenizer', { model: 'rwkv' }, 'unsupported', 'tokenizer.ggml.model'],
    ['another pre-tokenizer', { pre: 'viking' }, 'unsupported', 'tokenizer.ggml.pre'],
    ['no pre-tokenizer', { pre: undefined }, 'unsupported', 'tokenizer.ggml.pre'],
    ['no tokens', { tokens: [], tokenTypes: undefined }, 'bad_file', 'tokenizer.ggml.tokens'],
    ['a token twice', { tokens: ['a', 'b', 'a'], tokenTypes: undefined }, 'bad_file', 'tokenizer.ggml.tokens'],
    ['a type too few', { tokenTypes: [1, 1] }, 'bad_file', 'tokenizer.ggml.token_type'],
    ['a score too few', { scores: [0] }, 'bad_file', 'tokenizer.ggml.scores'],
    ['BOS out of range', { bosId: 49_152 }, 'bad_file', 'tokenizer.ggml.bos_token_id'],
    ['EOS that is no integer', { eosId: 1.5 }, 'bad_file', 'tokenizer.ggml.eos_token_id'],
    ['BOS added but not named', { addBos: true, bosId: undefined }, 'bad_file', 'tokenizer.ggml.bos_token_id'],
    ['a merge of one token', { merges: ['Ġ t', 'the'] }, 'bad_file', 'tokenizer.ggml.merges'],
    ['no merges', { merges: undefined }, 'bad_file', 'tokenizer.ggml.merges'],
    [
      'WordPiece without an unknown token',
      { model: 'bert', unkId: undefined },
      'bad_file',
      'tokenizer.ggml.unknown_token_id',
    ],
    ['SentencePiece without scores', { model: 'llama' }, 'bad_file', 'tokenizer.ggml.scores'],
  ];

  it.each(cases)('%s', async (_, change, code, field) => {
    const file = 'SmolLM2.gguf';
    await expectError(() => createTokenizer({ ...metadata, ...change }), code, { file, field });
  });
});

it('takes the longest of the special tokens that stand at one place, whichever is listed first', () => {
  const tokens = ['<unk>', '<call>', '<call>end', '</s>', 'e', 'n', 'd'];
  const spm = createTokenizer({
    file: 'f',
    model: 'llama',
    tokens,
    tokenTypes: [2, 3, 3, 3, 1, 1, 1],
    scores: tokens.map((_, id) => -id),
    bosId: 3,
  });
  expect(spm.encode('<call>end<call>', { addSpecial: false, parseSpecial: true })).toEqual([2, 1]);
});

it('does not merge typed text into a control token', () => {
  const tokens = ['<unk>', '<s>', '</s>', '<', '/', 's', '>', '</', '</s', 's>'];
  const types = [2, 3, 3, 1, 1, 1, 1, 1, 1, 1];
  const spm = createTokenizer({
    file: 'f',
    model: 'llama',
    tokens,
    tokenTypes: types,
    scores: tokens.map((_, id) => -id),
    bosId: 1,
  });
  expect(spm.encode('</s>', { addSpecial: false })).not.toContain(2);
  expect(spm.encode('</s>', { addSpecial: false, parseSpecial: true })).toEqual([2]);
});
