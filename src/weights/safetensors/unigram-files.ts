import type { UnigramSpaces } from '../../config/tokenizer-metadata.ts';
import { TOKEN_TYPES } from '../../config/tokenizer-metadata.ts';
import type { GgufValue } from '../gguf/gguf-metadata.ts';
import { MOST_TOKENS } from '../model-config.ts';
import { SPACES } from '../tokenizer-metadata.ts';
import { addedTemplate, pairTemplate, readTokens } from './hf-tokenizer.ts';
import type { JsonFields } from './json-file.ts';

/** Whether a `tokenizer.json` has SentencePiece's Unigram. */
export const isUnigram = (tokenizer: JsonFields): boolean => tokenizer.fields('model').values['type'] === 'Unigram';

/**
 * A `tokenizer.json` (huggingface/tokenizers) with SentencePiece's Unigram, as XLM-RoBERTa has it, as the `tokenizer.*` keys that
 * a GGUF file would have, and one that GGUF has not. `hasPairs`: of a model that reads two texts side by side. Throws `bad_file`,
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
  const scores = new Float64Array(tokens.length); // as exact as they stand there
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
      ? tokenizer.fail(
          'post_processor',
          'does not put a text between two tokens of the vocabulary: nothing else is supported',
          'unsupported',
        )
      : id;
  };
  const ends = { bos_token_id: idOf(around.first), eos_token_id: idOf(around.last) };
  if (hasPairs && !separatesPairs(tokenizer.values['post_processor'], around)) {
    tokenizer.fail(
      'post_processor',
      'does not put a pair of texts as <s> $A </s></s> $B </s>: nothing else is supported',
      'unsupported',
    );
  }
  const { charsmap, merges, trims } = readNormalizer(tokenizer);
  const values: Record<string, GgufValue> = {
    ...{ model: 't5', tokens, scores, token_type: Int32Array.from(types), ...ends },
    ...{
      unknown_token_id: unkId,
      add_bos_token: true,
      add_eos_token: true,
      remove_extra_whitespaces: true,
      precompiled_charsmap: charsmap,
    },
  };
  const keys = Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const);
  return new Map<string, GgufValue>([...keys, [SPACES, readSpaces(tokenizer, merges, trims)]]);
}

/** Whether two texts stand as `<s> $A </s></s> $B </s>`; of what segment they are does not count, since these models have one. */
function separatesPairs(processor: unknown, { first, last }: ReturnType<typeof addedTemplate>): boolean {
  const [bos, eos] = [`SpecialToken ${first}`, `SpecialToken ${last}`];
  const parts = pairTemplate(processor)?.map((part) => part.replace(/:\d+$/, ''));
  return parts?.join() === [bos, 'Sequence A', eos, eos, 'Sequence B', eos].join();
}

interface Normalizer {
  charsmap: Uint8Array;
  /** Several spaces become one. */
  merges: boolean;
  /** Spaces at the end are left out before. */
  trims: boolean;
}

/** What transformers makes of SentencePiece's normalizer, now and before (convert_slow_tokenizer.py, SpmConverter). */
function readNormalizer(tokenizer: JsonFields): Normalizer {
  const whole = tokenizer.fields('normalizer');
  const steps = whole.values['type'] === 'Sequence' ? whole.items('normalizers') : [whole];
  const [first, ...others] = steps;
  if (first?.values['type'] !== 'Precompiled')
    return whole.fail(
      'type',
      'does not begin with Precompiled, as that of a supported Unigram tokenizer does',
      'unsupported',
    );
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
      `${JSON.stringify(type)?.slice(0, 40)} is not supported so in a Unigram tokenizer`,
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
      'is not Metaspace that puts ▁ before each word: nothing else is supported with Unigram',
      'unsupported',
    );
  }
  const cuts = steps
    .slice(0, -1)
    .map((step) => step.values['type'])
    .join();
  if (cuts === 'WhitespaceSplit') return 'cut';
  if (cuts !== '' || !merges)
    whole.fail(
      'type',
      'keeps all spaces, or cuts text otherwise than at spaces, which is not supported with Unigram',
      'unsupported',
    );
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
