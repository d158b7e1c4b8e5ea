import { TOKEN_TYPES } from '../../config/tokenizer-metadata.ts';
import type { GgufValue } from '../gguf/gguf-metadata.ts';
import { MOST_TOKENS } from '../model-config.ts';
import { addedTemplate, pairTemplate, readTokens } from './hf-tokenizer.ts';
import type { JsonFields } from './json-file.ts';

/** Two texts behind `[CLS]`, each before a `[SEP]`, the other with its own in the second segment. */
const PAIR = 'SpecialToken [CLS]:0,Sequence A:0,SpecialToken [SEP]:0,Sequence B:1,SpecialToken [SEP]:1';

/**
 * A `tokenizer.json` (huggingface/tokenizers) with BERT's WordPiece as the `tokenizer.*` keys that a GGUF file would have,
 * where tokens that begin a word have ▁ in front and the others no ##, and two that GGUF has not. `hasPairs`: of a model that
 * reads two texts side by side. Throws `bad_file`, `unsupported`, naming the field.
 */
export function wordPieceMetadata(tokenizer: JsonFields, config: JsonFields, hasPairs = false): Map<string, GgufValue> {
  const model = tokenizer.fields('model');
  expect(model, { type: 'WordPiece', continuing_subword_prefix: '##', max_input_chars_per_word: 100 });
  const normalizer = tokenizer.fields('normalizer');
  expect(normalizer, { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true });
  expect(tokenizer.fields('pre_tokenizer'), { type: 'BertPreTokenizer' });
  const { tokens, types } = readTokens(tokenizer, model, config.size('vocab_size', MOST_TOKENS), false);
  const idOf = (text: string): number => {
    const id = tokens.indexOf(text);
    return id < 0 ? model.fail('vocab', `has no ${text}`) : id;
  };
  const { first, last } = addedTemplate(tokenizer.values['post_processor']);
  if (first !== '[CLS]' || last !== '[SEP]')
    tokenizer.fail(
      'post_processor',
      'does not put a text between [CLS] and [SEP]: nothing else is supported',
      'unsupported',
    );
  if (hasPairs && pairTemplate(tokenizer.values['post_processor'])?.join() !== PAIR)
    tokenizer.fail(
      'post_processor',
      'does not put a pair of texts as [CLS] $A [SEP] $B:1 [SEP]:1: nothing else is supported',
      'unsupported',
    );
  const lowercases = normalizer.values['lowercase'] === true;
  const marked = tokens.map((text, id) => {
    if (types[id] !== TOKEN_TYPES.normal) return text;
    return text.startsWith('##') && text.length > 2 ? text.slice(2) : `▁${text}`;
  });
  const values: Record<string, GgufValue> = {
    model: 'bert',
    tokens: marked,
    token_type: Int32Array.from(types),
    cls_token_id: idOf('[CLS]'),
    seperator_token_id: idOf('[SEP]'),
    unknown_token_id: idOf(model.string('unk_token')),
    lowercase: lowercases,
    strip_accents: normalizer.has('strip_accents') ? normalizer.values['strip_accents'] === true : lowercases,
  };
  return new Map(Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
}

function expect(fields: JsonFields, wanted: Readonly<Record<string, string | number | boolean>>): void {
  for (const [key, value] of Object.entries(wanted)) {
    if (fields.values[key] !== value)
      fields.fail(
        key,
        `${JSON.stringify(fields.values[key])?.slice(0, 40)} is not supported with an encoder; ${value} is`,
        'unsupported',
      );
  }
}
