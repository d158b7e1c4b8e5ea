import { beforeAll, describe, expect, it, vi } from 'vitest';
import { TOKEN_TYPES } from '../../src/config/tokenizer-metadata.ts';
import { PRE_TOKENIZERS } from '../../src/tokenizer/pre-tokenizers.ts';
import { toByteAlphabet, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { endTokens, ensureLlama, tokenize } from '../llama/llama.ts';
import type { MetadataValue } from '../support/models/gguf-writer.ts';
import { byteLevelTokenizer, sentencePieceTokenizer } from '../support/models/tiny-tokenizer.ts';
import { randomTexts, TEXTS } from './texts.ts';
import { trainMerges } from './train.ts';
import { vocabularyFile } from './vocabularies.ts';

vi.setConfig({ testTimeout: 30_000 });
beforeAll(ensureLlama, 300_000);

const SPECIALS = ['<unk>', '<s>', '</s>', '<|im_end|>', '😀', '  '];
const { unknown, control, userDefined, normal, byte } = TOKEN_TYPES;
const SPECIAL_TYPES = [unknown, control, control, control, userDefined, userDefined];
const CORPUS = randomTexts(400, 2, 30);
const SAMPLE = [...TEXTS, ...randomTexts(300, 3, 40)];

const BYTE_MERGES = trainMerges(
  CORPUS.map((text) => [...toByteAlphabet(text)]),
  700,
);
const CHAR_MERGES = trainMerges(
  CORPUS.map((text) => [...text.replaceAll(' ', '▁')]),
  600,
);

/** A byte-level vocabulary whose tokens cross word boundaries; bytes that the texts lack are left out. */
function byteLevel(pre: string): Record<string, MetadataValue> {
  const bytes = new Set([...CORPUS, ...SAMPLE].flatMap((text) => [...toByteAlphabet(text)]));
  const words = [...bytes, ...BYTE_MERGES.map((merge) => merge.join(''))].filter((text) => !SPECIALS.includes(text));
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': pre,
    'tokenizer.ggml.tokens': [...SPECIALS, ...words],
    'tokenizer.ggml.token_type': Int32Array.from([...SPECIAL_TYPES, ...words.map(() => normal)]),
    'tokenizer.ggml.merges': BYTE_MERGES.map((merge) => merge.join(' ')),
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
  };
}

/**
 * A SentencePiece vocabulary with ties among its scores; characters beyond U+0400 have no token. No piece leads to a
 * control token: llama.cpp would merge typed text into it, this tokenizer does not (tested separately).
 */
function sentencePiece(spacesLead: boolean): Record<string, MetadataValue> {
  const chars = [...new Set(CORPUS.join(''))].filter((char) => char.codePointAt(0)! < 0x400 && char !== ' ');
  const merged = CHAR_MERGES.map((merge) => merge.join('')).filter((text) => !spacesLead || !/[^▁]▁/u.test(text));
  const pieces = [...merged, '▁', ...chars].filter(
    (text) => !SPECIALS.includes(text) && !(text.length > 1 && SPECIALS.some((special) => special.includes(text))),
  );
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const types = [...SPECIAL_TYPES, ...bytes.map(() => byte), ...pieces.map(() => normal)];
  return {
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.tokens': [...SPECIALS, ...bytes, ...pieces],
    'tokenizer.ggml.scores': Float32Array.from(types, (type, id) => (type === normal ? -Math.floor(id / 3) : 0)),
    'tokenizer.ggml.token_type': Int32Array.from(types),
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.unknown_token_id': 0,
  };
}

/** The same pieces and line ends with a list of merges: Gemma 4's tokenizer. */
function mergedSentencePiece(): Record<string, MetadataValue> {
  const base = sentencePiece(false);
  const scored = base['tokenizer.ggml.tokens'] as string[];
  const isNew = (text: string): boolean => !scored.includes(text);
  const lines = ['\n', '\n\n', '\n\n\n'].filter(isNew);
  const tokens = [...scored, ...lines];
  const merges = CHAR_MERGES.filter(
    (merge) =>
      merge.every((part) => tokens.includes(part)) && tokens.includes(merge.join('')) && !merge.join('').includes('\n'),
  );
  return {
    ...base,
    'tokenizer.ggml.model': 'gemma4',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.scores': new Float32Array(tokens.length),
    'tokenizer.ggml.token_type': Int32Array.from([
      ...(base['tokenizer.ggml.token_type'] as Int32Array),
      ...lines.map(() => normal),
    ]),
    'tokenizer.ggml.merges': merges.map((merge) => merge.join(' ')),
  };
}

async function expectSameIds(path: string, tokenizer: Tokenizer): Promise<void> {
  for (const parseSpecial of [false, true]) {
    const expected = await tokenize(path, SAMPLE, parseSpecial);
    const wrong = SAMPLE.map((text, i) => ({
      text,
      ours: tokenizer.encode(text, { addSpecial: false, parseSpecial }),
      llama: [...expected[i]!],
    })).filter(({ ours, llama }) => ours.join() !== llama.join());
    expect(wrong).toEqual([]);
  }
}

describe("ids of a vocabulary whose tokens cross word boundaries are llama.cpp's", () => {
  it.each([...PRE_TOKENIZERS.keys()])('byte-level, pre-tokenizer %s', async (pre) => {
    const { path, tokenizer } = await vocabularyFile(pre, byteLevel(pre));
    await expectSameIds(path, tokenizer);
  });

  it.each([
    ['only-begin-tokens', true],
    ['stand-inside-of-tokens', false],
  ])('SentencePiece, where spaces %s', async (name, spacesLead) => {
    const { path, tokenizer } = await vocabularyFile(name, sentencePiece(spacesLead));
    await expectSameIds(path, tokenizer);
    expect([...tokenizer.eosIds].sort()).toEqual((await endTokens(path)).sort());
  });

  it('SentencePiece with merges, cut at ends of lines, as Gemma 4 has it', async () => {
    const { path, tokenizer } = await vocabularyFile('gemma4', mergedSentencePiece());
    await expectSameIds(path, tokenizer);
    for (const text of SAMPLE.filter((text) => !/\p{Cs}/u.test(text)))
      expect(tokenizer.decode(tokenizer.encode(text, { addSpecial: false }))).toBe(text);
    // Some of its tokens occur twice; the last counts.
    const twice = mergedSentencePiece();
    const tokens = twice['tokenizer.ggml.tokens'] as string[];
    const again = await vocabularyFile('gemma4-twice', { ...twice, 'tokenizer.ggml.tokens': tokens.with(-1, '▁') });
    expect(again.tokenizer.encode(' ', { addSpecial: false })).toEqual([tokens.length - 1]);
  });

  it.each([
    ['smollm', byteLevelTokenizer('smollm')],
    ['qwen2', byteLevelTokenizer('qwen2')],
    ['SentencePiece', sentencePieceTokenizer()],
  ])("the tiny models' tokenizer, %s", async (name, metadata) => {
    const { path, tokenizer } = await vocabularyFile(`tiny-${name}`, metadata);
    await expectSameIds(path, tokenizer);
    expect(tokenizer.encode('the ring').length).toBeLessThan(8);
  });
});
