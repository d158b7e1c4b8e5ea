import { describe, expect, test } from 'vitest';
import type { TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import { readCharsmap } from '../../src/tokenizer/charsmap.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { cpuMs } from '../support/cpu-time.ts';
import { expectError } from '../support/expect-error.ts';
import { encoderFixture, encoderTokenizer, expectedTexts } from '../support/models/encoder-folder.ts';

const { texts, ...expected } = encoderFixture('unigram.json') as { texts: string[] } & Record<
  'cut' | 'merged' | 'trimmed' | 'bytes',
  number[][]
>;

interface Normalizer {
  type: string;
  precompiled_charsmap: string;
}

/** transformers' `tokenizer.json`, with changes. */
const FILE = encoderFixture('xlmr', 'tokenizer.json') as {
  model: { vocab: [string, number][] } & Record<string, unknown>;
  normalizer: Normalizer;
  pre_tokenizer: { pretokenizers: [unknown, unknown] };
};
const { model, normalizer, pre_tokenizer: cut } = FILE;
const [, metaspace] = cut.pretokenizers;
const merge = (content: string) => ({ type: 'Replace', pattern: { Regex: ' {2,}' }, content });
const normalizers = (...steps: unknown[]) => ({ type: 'Sequence', normalizers: [normalizer, ...steps] });
const TRIM = { type: 'Strip', strip_left: false, strip_right: true };
const BYTES = Array.from({ length: 256 }, (_, byte): [string, number] => [
  `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  0,
]);

const KINDS: Record<keyof typeof expected, object> = {
  cut: {},
  merged: { normalizer: normalizers(merge(' ')), pre_tokenizer: metaspace },
  trimmed: { normalizer: normalizers(TRIM, merge('▁')), pre_tokenizer: metaspace },
  bytes: { model: { ...model, vocab: [...model.vocab, ...BYTES], byte_fallback: true } },
};

describe.each(Object.keys(KINDS) as (keyof typeof expected)[])('Unigram, %s', (kind) => {
  test('odd strings have the ids of huggingface/tokenizers', async () => {
    const tokenizer = await encoderTokenizer(JSON.stringify({ ...FILE, ...KINDS[kind] }));
    const wrong = texts.filter(
      (text, i) => tokenizer.encode(text, { addSpecial: false }).join() !== expected[kind][i]!.join(),
    );
    expect(wrong).toEqual([]);
    expect(texts.length).toBeGreaterThan(60);
  });
});

test('the kinds differ', () => {
  expect(new Set(Object.values(expected).map((ids) => JSON.stringify(ids))).size).toBe(Object.keys(KINDS).length);
});

test('texts are put between their two tokens, and decode back', async () => {
  const tokenizer = await encoderTokenizer(JSON.stringify(FILE));
  const { texts: sentences, ids } = expectedTexts('xlmr');
  expect(sentences.map((text) => tokenizer.encode(text))).toEqual(ids);
  expect(tokenizer.decode(tokenizer.encode('the  thing'))).toBe(' the thing');
});

test('typed text stays text: the name of a control token is not the token', async () => {
  const tokenizer = await encoderTokenizer(JSON.stringify(FILE));
  expect(tokenizer.encode('<s> </s>', { addSpecial: false }).filter((id) => id < 3)).toEqual([]);
  expect(tokenizer.encode('</s>', { addSpecial: false, parseSpecial: true })).toEqual([2]);
});

/** A GGUF vocabulary: `<unk>`, `</s>` and these pieces with their scores. */
function ggufTokenizer(pieces: Record<string, number>, more: Partial<TokenizerMetadata> = {}) {
  const tokens = ['<unk>', '</s>', ...Object.keys(pieces)];
  return createTokenizer({
    ...{
      file: 'x.gguf',
      model: 't5',
      tokens,
      scores: [0, 0, ...Object.values(pieces)],
      tokenTypes: tokens.map((_, id) => [2, 3][id] ?? 1),
    },
    ...{ unkId: 0, eosId: 1, mergesSpaces: true, ...more },
  });
}

test('a word is split with the largest sum of scores, and for equal sums with the longest last token', () => {
  const tokenizer = ggufTokenizer({ '▁': -2, a: -1, b: -1, ab: -3, '▁a': -2.5, bb: -2 });
  expect(tokenizer.encode('ab')).toEqual([6, 4, 1]);
  expect(tokenizer.encode('abb')).toEqual([6, 7, 1]);
  expect(tokenizer.encode('xxa☃')).toEqual([2, 0, 3, 0, 1]);
});

test('an unknown character costs 10 more than the worst token', () => {
  const tokenizer = ggufTokenizer({ '▁': -2, d: -9, de: 0, ef: -9, p: -9, ppq: 0, qr: -2 });
  expect(tokenizer.encode('def')).toEqual([2, 3, 5, 1]);
  expect(tokenizer.encode('ppqr')).toEqual([2, 7, 0, 1]);
});

test('a word without a known character takes linear time and memory', () => {
  const tokenizer = ggufTokenizer({ '▁': -2, ['a'.repeat(256)]: -1 });
  const started = cpuMs();
  expect(tokenizer.encode('☃'.repeat(300_000)).slice(0, 2)).toEqual([2, 0]);
  expect(tokenizer.encode(`${'a'.repeat(300_000)}`).length).toBeGreaterThan(1000);
  expect(cpuMs() - started).toBeLessThan(10_000);
});

test.each([
  ['tokenizer.ggml.unknown_token_id', { unkId: undefined }, 'bad_file'],
  ['tokenizer.ggml.scores', { scores: undefined }, 'bad_file'],
  ['tokenizer.ggml.remove_extra_whitespaces', { mergesSpaces: undefined }, 'unsupported'],
  ['tokenizer.ggml.precompiled_charsmap', { charsmap: Uint8Array.of(1, 2) }, 'bad_file'],
] as const)('%s is missed by name', async (field, more, code) => {
  await expectError(async () => ggufTokenizer({ '▁': -2 }, more), code, { field });
});

test('a token of more than 256 characters is refused', async () => {
  await expectError(async () => ggufTokenizer({ ['a'.repeat(257)]: -1 }), 'unsupported', {
    field: 'tokenizer.ggml.tokens',
  });
});

const REFUSED: [what: string, change: object, field: string][] = [
  ['no tokens around a text', { post_processor: null }, 'post_processor'],
  ['another normalizer', { normalizer: { type: 'NFKC' } }, 'normalizer.type'],
  [
    'a step behind it that is not known',
    { normalizer: normalizers({ type: 'Lowercase' }) },
    'normalizer.normalizers[1].type',
  ],
  ['spaces that are kept', { pre_tokenizer: metaspace }, 'pre_tokenizer.type'],
  [
    'no space in front',
    {
      pre_tokenizer: {
        ...cut,
        pretokenizers: [cut.pretokenizers[0], { ...(metaspace as object), prepend_scheme: 'never' }],
      },
    },
    'pre_tokenizer.pretokenizers[1].type',
  ],
  [
    'a map that is no base64',
    { normalizer: { ...normalizer, precompiled_charsmap: '*' } },
    'normalizer.precompiled_charsmap',
  ],
  ['an unknown token that there is none of', { model: { ...model, unk_id: 1e6 } }, 'model.unk_id'],
  ['a piece without a score', { model: { ...model, vocab: [['a'], ...model.vocab.slice(1)] } }, 'model.vocab'],
];

test.each(REFUSED)('%s is refused by name', async (_, change, field) => {
  await expect(encoderTokenizer(JSON.stringify({ ...FILE, ...change }))).rejects.toMatchObject({ detail: { field } });
});

describe('the map of replacements', () => {
  const bytes = Uint8Array.from(atob(normalizer.precompiled_charsmap), (char) => char.charCodeAt(0));
  const refuse = (reason: string): never => {
    throw new Error(`refused: ${reason}`);
  };
  const numUnits = new DataView(bytes.buffer).getUint32(0, true) / 4;

  /** A change of one of the trie's units. */
  const changed = (place: number, unit: number): Uint8Array => {
    const copy = bytes.slice();
    new DataView(copy.buffer).setUint32(4 + 4 * place, unit, true);
    return copy;
  };

  test('has the rules that sentencepiece compiled', () => {
    const map = readCharsmap(bytes, refuse);
    const texts = (find: 'shortest' | 'longest', keys: readonly string[]) =>
      keys.map((key) => map[find](new TextEncoder().encode(`-${key}-`), 1)?.text);
    expect(texts('longest', ['Ａ', 'ﬁ', 'e\u0301', 'ｶﾞ', 'ｶ', '\u00ad', '\ufeff', 'e', '\0'])).toEqual([
      'A',
      'fi',
      'é',
      'ガ',
      'カ',
      '',
      ' ',
      undefined,
      undefined,
    ]);
    expect(texts('shortest', ['ｶﾞ', 'e\u0301'])).toEqual(['カ', 'é']);
  });

  test.each([
    ['nothing', () => new Uint8Array(0)],
    ['a size beyond its end', () => bytes.subarray(0, 100)],
    ['a size that is no whole number of units', () => Uint8Array.of(5, 0, 0, 0, 1, 1, 1, 1, 1)],
    ['children beyond its end', () => changed(0, 0x3ffffc00)],
    ['texts that do not end', () => bytes.subarray(0, 4 + 4 * numUnits + 1)],
    ['more than 512 KiB', () => new Uint8Array((1 << 19) + 1)],
  ])('with %s is refused', (_, broken) => {
    expect(() => readCharsmap(broken(), refuse)).toThrow(/^refused/);
  });

  test('with a cycle is refused, not followed', () => {
    // Every unit is the child by its own byte, and its children are at its own place.
    const circle = new Uint8Array(4 + 4 * 256);
    const view = new DataView(circle.buffer);
    view.setUint32(0, 4 * 256, true);
    for (let byte = 1; byte < 256; byte++) view.setUint32(4 + 4 * byte, byte | (byte << 10), true);
    expect(() => readCharsmap(circle, refuse)).toThrow(/cycle/);
  });

  test('with any broken unit it is read or refused', () => {
    for (let place = 0; place < numUnits; place++) {
      for (const unit of [0xffffffff, 0x7fffffff, 0x1ff, 0x80000000]) {
        try {
          readCharsmap(changed(place, unit), refuse);
        } catch (error) {
          expect((error as Error).message).toMatch(/^refused/);
        }
      }
    }
  });
});
