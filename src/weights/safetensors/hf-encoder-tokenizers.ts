import { TOKEN_TYPES, type UnigramSpaces } from '../../config/tokenizer-metadata.ts';
import type { GgufValue } from '../gguf/gguf-metadata.ts';
import { MOST_TOKENS } from '../model-config.ts';
import { addedTemplate, pairTemplate, readTokens } from './hf-tokenizer.ts';
import type { JsonFields } from './json-file.ts';
import { SPACES } from '../tokenizer-metadata.ts';

/** Two texts after `[CLS]`, each followed by `[SEP]`; the second text and its `[SEP]` are in segment 1. */
const PAIR = 'SpecialToken [CLS]:0,Sequence A:0,SpecialToken [SEP]:0,Sequence B:1,SpecialToken [SEP]:1';

/**
 * Converts a `tokenizer.json` (huggingface/tokenizers) with BERT's WordPiece to GGUF's `tokenizer.*` keys, where tokens
 * that begin a word have ▁ in front and the others no ##, and two keys that GGUF lacks. `hasPairs`: the model reads
 * pairs of texts. Throws `bad_file`, `unsupported`, naming the field.
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
    tokenizer.fail('post_processor', 'must put a text between [CLS] and [SEP]', 'unsupported');
  if (hasPairs && pairTemplate(tokenizer.values['post_processor'])?.join() !== PAIR)
    tokenizer.fail('post_processor', 'must put a pair of texts as [CLS] $A [SEP] $B:1 [SEP]:1', 'unsupported');
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

/** Whether a `tokenizer.json` uses SentencePiece's Unigram. */
export const isUnigram = (tokenizer: JsonFields): boolean => tokenizer.fields('model').values['type'] === 'Unigram';

/**
 * Converts a `tokenizer.json` (huggingface/tokenizers) with SentencePiece's Unigram, as in XLM-RoBERTa, to GGUF's
 * `tokenizer.*` keys and one that GGUF lacks. `hasPairs`: the model reads pairs of texts. Throws `bad_file`,
 * `unsupported`, naming the field.
 */
export function unigramMetadata(tokenizer: JsonFields, config: JsonFields, hasPairs = false): Map<string, GgufValue> {
  const model = tokenizer.fields('model');
  const { tokens, types } = readTokens(
    tokenizer,
    model,
    config.size('vocab_size', MOST_TOKENS),
    model.values['byte_fallback'] === true,
  );
  const scores = new Float64Array(tokens.length); // keeps the file's precision
  for (const [id, entry] of model.list('vocab').entries()) {
    const score: unknown = Array.isArray(entry) ? entry[1] : undefined;
    scores[id] = typeof score === 'number' ? score : model.fail('vocab', `entry ${id} has no score`);
  }
  const unkId = model.number('unk_id');
  if (tokens[unkId] === undefined)
    model.fail('unk_id', `token ${unkId} is not among the ${tokens.length} of the vocabulary`);
  types[unkId] = TOKEN_TYPES.unknown;
  const around = addedTemplate(tokenizer.values['post_processor']);
  const idOf = (text: string | undefined): number => {
    const id = text === undefined ? -1 : tokens.indexOf(text);
    return id < 0
      ? tokenizer.fail('post_processor', 'must put a text between two tokens of the vocabulary', 'unsupported')
      : id;
  };
  const ends = { bos_token_id: idOf(around.first), eos_token_id: idOf(around.last) };
  if (hasPairs && !separatesPairs(tokenizer.values['post_processor'], around)) {
    tokenizer.fail('post_processor', 'must put a pair of texts as <s> $A </s></s> $B </s>', 'unsupported');
  }
  const { charsmap, merges, trims } = readNormalizer(tokenizer);
  const values: Record<string, GgufValue> = {
    ...{ model: 't5', tokens, scores, token_type: Int32Array.from(types), ...ends },
    unknown_token_id: unkId,
    add_bos_token: true,
    add_eos_token: true,
    remove_extra_whitespaces: true,
    precompiled_charsmap: charsmap,
  };
  const keys = Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const);
  return new Map<string, GgufValue>([...keys, [SPACES, readSpaces(tokenizer, merges, trims)]]);
}

/** Whether pairs are `<s> $A </s></s> $B </s>`. Segments do not matter, because these models have one. */
function separatesPairs(processor: unknown, { first, last }: ReturnType<typeof addedTemplate>): boolean {
  const [bos, eos] = [`SpecialToken ${first}`, `SpecialToken ${last}`];
  const parts = pairTemplate(processor)?.map((part) => part.replace(/:\d+$/, ''));
  return parts?.join() === [bos, 'Sequence A', eos, eos, 'Sequence B', eos].join();
}

interface Normalizer {
  charsmap: Uint8Array;
  /** Runs of spaces become one space. */
  merges: boolean;
  /** Trailing spaces are removed first. */
  trims: boolean;
}

/**
 * transformers' conversions of SentencePiece's normalizer, current and former (convert_slow_tokenizer.py,
 * SpmConverter).
 */
function readNormalizer(tokenizer: JsonFields): Normalizer {
  const whole = tokenizer.fields('normalizer');
  const steps = whole.values['type'] === 'Sequence' ? whole.items('normalizers') : [whole];
  const [first, ...others] = steps;
  if (first?.values['type'] !== 'Precompiled')
    return whole.fail('type', 'must begin with Precompiled in a Unigram tokenizer', 'unsupported');
  const kinds = others.map((step) => {
    const { type, strip_left, strip_right, pattern, content } = step.values;
    if (type === 'Strip' && strip_left === false && strip_right === true) return 'trims';
    if (
      type === 'Replace' &&
      JSON.stringify(pattern) === '{"Regex":" {2,}"}' &&
      (content === ' ' || (content === '▁' && others.length === 2))
    )
      return 'merges';
    return step.fail(
      'type',
      `${JSON.stringify(type)?.slice(0, 40)} is not supported at this place in a Unigram tokenizer`,
      'unsupported',
    );
  });
  if (!['', 'merges', 'trims,merges'].includes(kinds.join()))
    whole.fail('normalizers', `${kinds.join(', ').slice(0, 80)} in this order are not supported`, 'unsupported');
  return {
    charsmap: fromBase64(first, 'precompiled_charsmap'),
    merges: kinds.includes('merges'),
    trims: kinds.includes('trims'),
  };
}

function readSpaces(tokenizer: JsonFields, merges: boolean, trims: boolean): UnigramSpaces {
  const whole = tokenizer.fields('pre_tokenizer');
  const steps = whole.values['type'] === 'Sequence' ? whole.items('pretokenizers') : [whole];
  const metaspace = steps.at(-1);
  const {
    type,
    replacement,
    add_prefix_space: prefix = true,
    prepend_scheme: scheme = 'always',
    split = true,
  } = metaspace?.values ?? {};
  if (type !== 'Metaspace' || replacement !== '▁' || prefix !== true || scheme !== 'always' || split !== true) {
    return (metaspace ?? whole).fail(
      'type',
      'must be Metaspace with ▁ before each word in a Unigram tokenizer',
      'unsupported',
    );
  }
  const cuts = steps
    .slice(0, -1)
    .map((step) => step.values['type'])
    .join();
  if (cuts === 'WhitespaceSplit') return 'cut';
  if (cuts !== '' || !merges)
    whole.fail('type', 'must merge spaces and cut text at spaces only in a Unigram tokenizer', 'unsupported');
  return trims ? 'trimmed' : 'merged';
}

function fromBase64(fields: JsonFields, key: string): Uint8Array {
  const text = fields.string(key);
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return fields.fail(key, 'is not base64');
  }
}
