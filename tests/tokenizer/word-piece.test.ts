import { expect, test } from 'vitest';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { openModelFile } from '../../src/weights/open-model-file.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { encoderFixture, encoderFolder, encoderTokenizer, expectedTexts } from '../support/models/encoder-folder.ts';

const { texts, ...expected } = encoderFixture('word-piece.json') as { texts: string[] } & Record<
  'uncased' | 'cased',
  number[][]
>;

test('WordPiece of odd strings is that of huggingface/tokenizers', async () => {
  const tokenizer = createTokenizer(readTokenizerMetadata(await openModelFile(encoderFolder())));
  // Typed text stays text: a control token's name is not the token.
  const typed = texts.filter((text) => !text.includes('[CLS]'));
  expect(typed.map((text) => tokenizer.encode(text))).toEqual(
    typed.map((text) => expected.uncased[texts.indexOf(text)]),
  );
  expect(typed.length).toBeGreaterThan(40);
  expect(tokenizer.encode('[CLS]', { addSpecial: false })).not.toContain(tokenizer.bosId);
  expect(tokenizer.encode('[CLS]', { addSpecial: false, parseSpecial: true })).toEqual([tokenizer.bosId]);
});

test('texts are put between their two tokens, and decode back', async () => {
  const tokenizer = createTokenizer(readTokenizerMetadata(await openModelFile(encoderFolder())));
  const { texts: sentences, ids } = expectedTexts();
  expect(sentences.map((text) => tokenizer.encode(text))).toEqual(ids);
  expect(tokenizer.decode(tokenizer.encode('Thinging, then!'))).toBe(' thinging , then !');
});

test('a vocabulary with capitals distinguishes case and accents', async () => {
  const tokenizer = await encoderTokenizer(JSON.stringify(encoderFixture('cased', 'tokenizer.json')));
  const typed = texts.filter((text) => !text.includes('[CLS]'));
  expect(typed.map((text) => tokenizer.encode(text))).toEqual(typed.map((text) => expected.cased[texts.indexOf(text)]));
  expect(expected.cased).not.toEqual(expected.uncased);
});

test('a GGUF file has no key for case: its tokens decide', () => {
  const of = (...words: string[]): ((text: string) => number[]) => {
    const tokens = ['[UNK]', '[CLS]', '[SEP]', ...words];
    const tokenizer = createTokenizer({
      file: 'x.gguf',
      model: 'bert',
      tokens,
      tokenTypes: tokens.map((_, id) => (id < 3 ? 3 : 1)),
      unkId: 0,
      bosId: 1,
      eosId: 2,
    });
    return (text) => tokenizer.encode(text);
  };
  expect(of('▁the', '▁a')('The Ä')).toEqual([1, 3, 4, 2]);
  expect(of('▁the', '▁The', '▁ä', '▁Ä')('The Ä')).toEqual([1, 4, 6, 2]);
});
