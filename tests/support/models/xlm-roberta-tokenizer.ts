import { readFileSync } from 'node:fs';
import type { GgufValue } from '../../../src/weights/gguf/gguf-metadata.ts';
import { JsonFields } from '../../../src/weights/safetensors/json-file.ts';
import { unigramMetadata } from '../../../src/weights/safetensors/hf-encoder-tokenizers.ts';
import { SPACES } from '../../../src/weights/tokenizer-metadata.ts';
import { BytesSource } from '../bytes-source.ts';
import { wheelFile } from './multilingual-e5.ts';

export const CONTROL_TOKENS = ['<s>', '<pad>', '</s>', '<unk>', '<mask>'];

const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
const merge = (content: string) => ({ type: 'Replace', pattern: { Regex: ' {2,}' }, content });

/** The forms of SentencePiece's normalizer in versions of transformers. */
const KINDS = {
  cut: { others: [], pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] } },
  merged: { others: [merge(' ')], pre_tokenizer: metaspace },
  trimmed: { others: [{ type: 'Strip', strip_left: false, strip_right: true }, merge('▁')], pre_tokenizer: metaspace },
};

export type Kind = keyof typeof KINDS;

/** XLM-RoBERTa's `tokenizer.json` with these pieces and scores, and SentencePiece's nmt_nfkc. */
export function xlmRobertaTokenizer(pieces: readonly [text: string, score: number][], kind: Kind): string {
  const { others, pre_tokenizer } = KINDS[kind];
  const charsmap = readFileSync(wheelFile('sentencepiece==0.2.3', 'sentencepiece/package_data/nmt_nfkc.bin'), 'base64');
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = (id: string) => ({ Sequence: { id, type_id: 0 } });
  const idOf = (content: string): number => pieces.findIndex(([text]) => text === content);
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const named = (id: string) => ({ id, ids: [idOf(id)], tokens: [id] });
  return JSON.stringify({
    version: '1.0',
    added_tokens: CONTROL_TOKENS.map((content) => ({ id: idOf(content), content, ...flags })),
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Precompiled', precompiled_charsmap: charsmap }, ...others] },
    pre_tokenizer,
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('<s>'), sequence('A'), special('</s>')],
      pair: [special('<s>'), sequence('A'), special('</s>'), special('</s>'), sequence('B'), special('</s>')],
      special_tokens: { '<s>': named('<s>'), '</s>': named('</s>') },
    },
    model: { type: 'Unigram', unk_id: idOf('<unk>'), vocab: pieces, byte_fallback: false },
  });
}

/** The metadata of a GGUF file with this tokenizer, including our own keys. */
export async function xlmRobertaMetadata(tokenizer: string, vocabSize: number): Promise<Map<string, GgufValue>> {
  const fields = (name: string, json: string): Promise<JsonFields> =>
    JsonFields.read(new BytesSource(name, new TextEncoder().encode(json)));
  return unigramMetadata(
    await fields('tokenizer.json', tokenizer),
    await fields('config.json', JSON.stringify({ vocab_size: vocabSize })),
  );
}

/** The same metadata as in llama.cpp's files. */
export function asGguf(values: ReadonlyMap<string, GgufValue>): Map<string, GgufValue> {
  const keys = new Map(values);
  keys.delete(SPACES);
  return keys.set('tokenizer.ggml.scores', Float32Array.from(keys.get('tokenizer.ggml.scores') as Float64Array));
}
