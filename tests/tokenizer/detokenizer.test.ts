import { describe, expect, it } from 'vitest';
import { Detokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { byteLevelTokenizer, sentencePieceTokenizer } from '../support/models/tiny-tokenizer.ts';
import { randomTexts, TEXTS } from './texts.ts';
import { vocabularyFile } from './vocabularies.ts';

/** Nearly one token per byte in both: every longer character comes in parts. */
const tokenizers: [string, Promise<{ tokenizer: Tokenizer }>][] = [
  ['byte-level', vocabularyFile('bytes', byteLevelTokenizer('smollm'))],
  ['SentencePiece', vocabularyFile('pieces', sentencePieceTokenizer())],
];

describe.each(tokenizers)('streaming %s tokens', (_, made) => {
  it('returns whole characters that join to the decoded text', async () => {
    const { tokenizer } = await made;
    for (const text of [...TEXTS, ...randomTexts(200, 5, 40)]) {
      const ids = tokenizer.encode(text, { parseSpecial: true });
      const detokenizer = new Detokenizer(tokenizer);
      const pieces = [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
      expect(pieces.join('')).toBe(tokenizer.decode(ids));
      for (const piece of pieces) expect(piece, text).not.toMatch(/\p{Cs}/u);
      if (!text.includes('\ufffd') && !/\p{Cs}/u.test(text)) expect(pieces.join('')).not.toContain('\ufffd');
    }
  });
});

describe('an incomplete character', () => {
  it('returns nothing until flush, then U+FFFD, and leaves no state', async () => {
    const { tokenizer } = await vocabularyFile('bytes-unfinished', byteLevelTokenizer('smollm'));
    const [first] = tokenizer.encode('é');
    const detokenizer = new Detokenizer(tokenizer);
    expect(detokenizer.push(first!)).toBe('');
    expect(detokenizer.flush()).toBe('\ufffd');
    expect(detokenizer.push(tokenizer.encode('a')[0]!)).toBe('a');
    expect(detokenizer.flush()).toBe('');
  });

  it('is not completed by a control token between its bytes', async () => {
    const { tokenizer } = await vocabularyFile('bytes-control', byteLevelTokenizer('smollm'));
    const detokenizer = new Detokenizer(tokenizer);
    expect(detokenizer.push(tokenizer.bosId!)).toBe('');
    expect(tokenizer.encode('é').map((id) => detokenizer.push(id))).toEqual(['', 'é']);
  });
});
