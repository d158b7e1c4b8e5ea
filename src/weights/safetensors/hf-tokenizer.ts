import { TOKEN_TYPES } from '../../config/tokenizer-metadata.ts';
import type { GgufValue } from '../gguf/gguf-metadata.ts';
import { isRecord } from '../../config/is-record.ts';
import { kindOf, type JsonFields } from './json-file.ts';
import { MOST_TOKENS } from '../model-config.ts';
import { COMPOSES } from '../tokenizer-metadata.ts';
import { composesText, preTokenizerName, sentencePiecePrefix } from './hf-pre-tokenizer.ts';

/** The files that say how a transformers model reads and writes text; all but the first may be missing. */
export interface TokenizerFiles {
  tokenizer: JsonFields;
  tokenizerConfig: JsonFields | undefined;
  generationConfig: JsonFields | undefined;
  config: JsonFields;
  /** The text of `chat_template.jinja`. */
  chatTemplate: string | undefined;
}

const BYTE = /^<0x[0-9A-F]{2}>$/;

/**
 * A `tokenizer.json` (huggingface/tokenizers) and what lies beside it as the `tokenizer.*` keys that a GGUF file of the
 * model would have. Byte-level BPE, and SentencePiece's BPE with byte fallback. Throws `bad_file` and `unsupported`,
 * naming the field.
 */
export function tokenizerMetadata(files: TokenizerFiles): Map<string, GgufValue> {
  const { tokenizer, config } = files;
  const model = tokenizer.fields('model');
  const type = model.optional('type', (key) => model.string(key)) ?? 'BPE';
  if (type !== 'BPE')
    model.fail('type', `${JSON.stringify(type.slice(0, 40))} is not supported; BPE is`, 'unsupported');
  const isSentencePiece = model.values['byte_fallback'] === true;
  const { tokens, types } = readTokens(tokenizer, model, config.size('vocab_size', MOST_TOKENS), isSentencePiece);
  const merges = readMerges(model);
  const ids = new Map(tokens.map((text, id) => [text, id]));
  const values = new Map<string, GgufValue>();
  const set = (key: string, value: GgufValue | undefined): void => {
    if (value !== undefined) values.set(`tokenizer.ggml.${key}`, value);
  };
  set('model', isSentencePiece ? 'llama' : 'gpt2');
  set('tokens', tokens);
  set('token_type', Int32Array.from(types));
  if (isSentencePiece) {
    set('scores', mergeScores(tokens, merges));
    set('add_space_prefix', sentencePiecePrefix(tokenizer));
  } else {
    set('pre', preTokenizerName(tokenizer, model.values['ignore_merges'] === true));
    set('merges', merges);
    if (composesText(tokenizer)) values.set(COMPOSES, true);
  }
  set(
    'unknown_token_id',
    model.optional('unk_token', (key) => ids.get(model.string(key))),
  );
  addSpecials(files, ids, set);
  const template = files.chatTemplate ?? templateOf(files.tokenizerConfig);
  if (template !== undefined) values.set('tokenizer.chat_template', template);
  return values;
}

/** The texts of a vocabulary by their ids, and what each is. */
export function readTokens(
  tokenizer: JsonFields,
  model: JsonFields,
  vocabSize: number,
  isSentencePiece: boolean,
): { tokens: string[]; types: number[] } {
  // Models have more rows than tokens, for want of a rounder number.
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const types = tokens.map((): number => TOKEN_TYPES.unused);
  const put = (where: JsonFields, text: string, id: unknown, type: number): void => {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabSize) {
      const shown = typeof id === 'number' ? String(id) : kindOf(id);
      return where.fail(text, `has the id ${shown}; the model has ${vocabSize} tokens`);
    }
    tokens[id] = text;
    types[id] = type;
  };
  const unknown = model.optional('unk_token', (key) => model.string(key));
  const { vocab, entries } = readVocab(model);
  for (const [text, id] of entries) {
    const isByte = isSentencePiece && BYTE.test(text);
    put(vocab, text, id, isByte ? TOKEN_TYPES.byte : TOKEN_TYPES.normal);
  }
  const added = tokenizer.optional('added_tokens', (key) => tokenizer.list(key)) ?? [];
  for (const entry of added) {
    if (!isRecord(entry) || typeof entry['content'] !== 'string')
      return tokenizer.fail('added_tokens', 'one of them has no content');
    const { content, id, special } = entry;
    // Gemma's text models have the tokenizer of those with images, and no row for an image's place: that is text to them.
    if (typeof id === 'number' && Number.isSafeInteger(id) && id >= vocabSize) continue;
    const type =
      content === unknown && isSentencePiece
        ? TOKEN_TYPES.unknown
        : special === true
          ? TOKEN_TYPES.control
          : TOKEN_TYPES.userDefined;
    put(tokenizer, content, id, type);
  }
  return { tokens, types };
}

/** Texts with their ids; of Unigram they are listed in order, each with its score. */
function readVocab(model: JsonFields): { vocab: JsonFields; entries: (readonly [text: string, id: unknown])[] } {
  if (!Array.isArray(model.values['vocab'])) {
    const vocab = model.fields('vocab');
    return { vocab, entries: Object.entries(vocab.values) };
  }
  const textOf = (entry: unknown, id: number): string =>
    Array.isArray(entry) && typeof entry[0] === 'string'
      ? entry[0]
      : model.fail('vocab', `entry ${id} is not a token with its score`);
  return { vocab: model, entries: model.list('vocab').map((entry, id) => [textOf(entry, id), id]) };
}

/** Written as "a b", and as ["a", "b"] of late. */
function readMerges(model: JsonFields): string[] {
  return model.list('merges').map((merge, i) => {
    if (typeof merge === 'string') return merge;
    if (Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === 'string'))
      return merge.join(' ');
    return model.fail('merges', `entry ${i} is not two tokens`);
  });
}

/** SentencePiece merges by the score of what comes about; its merges are listed in that order. */
function mergeScores(tokens: readonly string[], merges: readonly string[]): Float32Array {
  const rank = new Map<string, number>();
  merges.forEach((merge, i) => {
    const text = merge.replace(' ', '');
    if (!rank.has(text)) rank.set(text, i);
  });
  return Float32Array.from(tokens, (text) => -(rank.get(text) ?? merges.length));
}

function addSpecials(
  { tokenizer, tokenizerConfig, generationConfig, config }: TokenizerFiles,
  ids: ReadonlyMap<string, number>,
  set: (key: string, value: GgufValue | undefined) => void,
): void {
  const named = (name: string): number | undefined => {
    const value = tokenizerConfig?.values[name];
    const text = isRecord(value) ? value['content'] : value;
    return typeof text === 'string' ? ids.get(text) : undefined;
  };
  const [configBos] = idsOf(config, 'bos_token_id');
  const bos = named('bos_token') ?? configBos;
  const ends = [named('eos_token'), ...idsOf(generationConfig, 'eos_token_id'), ...idsOf(config, 'eos_token_id')];
  const [eos, eot, eom, ...more] = new Set(ends.filter((id) => id !== undefined));
  if (more.length > 0)
    (generationConfig ?? config).fail(
      'eos_token_id',
      `${more.length + 3} tokens end an answer; 3 are supported`,
      'unsupported',
    );
  set('bos_token_id', bos);
  set('eos_token_id', eos);
  set('eot_token_id', eot);
  set('eom_token_id', eom);
  const around = addedTemplate(tokenizer.values['post_processor']);
  const idOf = (text: string | undefined): number | undefined => (text === undefined ? undefined : ids.get(text));
  set('add_bos_token', bos !== undefined && idOf(around.first) === bos);
  set('add_eos_token', eos !== undefined && idOf(around.last) === eos);
}

function idsOf(file: JsonFields | undefined, key: string): number[] {
  const value = file?.values[key];
  return (Array.isArray(value) ? (value as unknown[]) : [value]).filter((id) => typeof id === 'number');
}

/** The tokens that a post-processor puts around a single text. */
export function addedTemplate(processor: unknown): { first?: string | undefined; last?: string | undefined } {
  if (!isRecord(processor)) return {};
  const { type, processors, single } = processor;
  if (type === 'Sequence' && Array.isArray(processors)) {
    return processors.map(addedTemplate).find(({ first, last }) => first !== undefined || last !== undefined) ?? {};
  }
  if (type === 'BertProcessing') return { first: nameOf(processor['cls']), last: nameOf(processor['sep']) };
  if (type !== 'TemplateProcessing' || !Array.isArray(single)) return {};
  const [first, last] = [single[0], single.at(-1)].map((part: unknown) => {
    const token = isRecord(part) ? part['SpecialToken'] : undefined;
    return isRecord(token) && typeof token['id'] === 'string' ? token['id'] : undefined;
  });
  return { first, last };
}

/** Of a token with its id. */
const nameOf = (token: unknown): string | undefined =>
  Array.isArray(token) && typeof token[0] === 'string' ? token[0] : undefined;

/** One template, or several by name. */
function templateOf(config: JsonFields | undefined): string | undefined {
  const template = config?.values['chat_template'];
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return undefined;
  const found: unknown = template.find((entry) => isRecord(entry) && entry['name'] === 'default');
  return isRecord(found) && typeof found['template'] === 'string' ? found['template'] : undefined;
}

/** What a post-processor makes of two texts: `SpecialToken [SEP]` or `Sequence B`, each with a colon and the segment that it is in. */
export function pairTemplate(processor: unknown): string[] | undefined {
  if (!isRecord(processor)) return undefined;
  const { type, processors, pair } = processor;
  if (type === 'Sequence' && Array.isArray(processors))
    return processors.map(pairTemplate).find((parts) => parts !== undefined);
  if (type === 'BertProcessing') {
    const [cls, sep] = [nameOf(processor['cls']), nameOf(processor['sep'])];
    return [`SpecialToken ${cls}:0`, 'Sequence A:0', `SpecialToken ${sep}:0`, 'Sequence B:1', `SpecialToken ${sep}:1`];
  }
  if (type !== 'TemplateProcessing' || !Array.isArray(pair)) return undefined;
  return pair.map((entry: unknown) => {
    const [kind, said] = isRecord(entry) ? (Object.entries(entry)[0] ?? []) : [];
    return isRecord(said) ? `${kind} ${String(said['id'])}:${String(said['type_id'])}` : '';
  });
}
