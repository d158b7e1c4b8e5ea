import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { GgufMetadata } from '../../src/weights/gguf/gguf-metadata.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { ensureLlama, tokenize } from '../llama/llama.ts';
import type { MetadataValue } from '../support/models/gguf-writer.ts';
import { readMultilingualE5, WHEELS } from '../support/models/multilingual-e5.ts';
import {
  asGguf,
  CONTROL_TOKENS,
  type Kind,
  xlmRobertaMetadata,
  xlmRobertaTokenizer,
} from '../support/models/xlm-roberta-tokenizer.ts';
import { idsOf } from './real-tokenizers.ts';
import { randomTexts, TEXTS } from './texts.ts';
import { vocabularyFile } from './vocabularies.ts';

/** Strings that distinguish ways to replace characters. */
const CHARACTERS = [
  ...[
    'Ａ',
    'ﾊ',
    'ﾟ',
    'ﾞ',
    'e\u0301',
    '\u0301',
    'ﬁ',
    '½',
    '①',
    '\u20e3',
    'Å',
    '\u212b',
    '㍿',
    '﷽',
    'ﷺ',
    '…',
    '\u00ad',
    '\u0001',
    '\u007f',
    '\u0085',
  ],
  ...[
    '\u200b',
    '\u200d',
    '\ufeff',
    '\u2028',
    '\u3000',
    '  ',
    '\r\n',
    '▁',
    '▁▁',
    'क्षि',
    'น้ำ',
    '한',
    '\u1112\u1161\u11ab',
    '😀',
    '👩‍👩‍👧',
    '🇩🇪',
    '𠀀',
    '\ue000',
    '☃',
  ],
];
const CONTROL = new RegExp(CONTROL_TOKENS.join('|'), 'g');
/** 2,000; the names of control tokens are pieces to huggingface/tokenizers, and so are such tokens where they are typed. */
const SAMPLE = [...TEXTS, ...randomTexts(2000 - TEXTS.length, 18, 30, CHARACTERS)].map((text) =>
  text.toWellFormed().replaceAll(CONTROL, ''),
);
const VOCAB_SIZE = 250_002;
/** Likeliest pieces of a vocabulary that tests how spaces are treated. */
const FEW = 30_000;

let pieces: [string, number][];
let few: [string, number][];
beforeAll(async () => {
  await ensureLlama();
  ({ pieces } = readMultilingualE5());
  few = pieces.filter(([text], id) => id < FEW || CONTROL_TOKENS.includes(text));
});

const differences = (tokenizer: Tokenizer, expected: readonly (readonly number[])[]) =>
  SAMPLE.map((text, i) => ({
    text,
    ours: tokenizer.encode(text, { addSpecial: false }),
    theirs: [...expected[i]!],
  })).filter(({ ours, theirs }) => ours.join() !== theirs.join());

test.each(['cut', 'merged', 'trimmed'] satisfies Kind[])(
  "2,000 texts have the ids of XLM-RoBERTa's tokenizer in huggingface/tokenizers: spaces %s",
  async (kind) => {
    const [known, vocabSize] = kind === 'cut' ? [pieces, VOCAB_SIZE] : [few, few.length];
    const file = xlmRobertaTokenizer(known, kind);
    const path = join(WHEELS, `xlm-roberta-${kind}.json`);
    writeFileSync(path, file);
    const tokenizer = createTokenizer(
      readTokenizerMetadata({ metadata: new GgufMetadata(path, await xlmRobertaMetadata(file, vocabSize)) }),
    );
    expect(SAMPLE).toHaveLength(2000);
    expect(differences(tokenizer, idsOf(path, SAMPLE)[0])).toEqual([]);
  },
);

test('and in llama.cpp, from a GGUF file', async () => {
  const values = asGguf(await xlmRobertaMetadata(xlmRobertaTokenizer(pieces, 'cut'), VOCAB_SIZE));
  const { path, tokenizer } = await vocabularyFile(
    'xlm-roberta',
    Object.fromEntries(values) as Record<string, MetadataValue>,
  );
  expect(differences(tokenizer, await tokenize(path, SAMPLE))).toEqual([]);
});
