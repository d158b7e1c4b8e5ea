import { TOKEN_TYPES } from '../../config/tokenizer-metadata.ts';
import type { GgufValue } from '../gguf/gguf-metadata.ts';
import { isRecord } from '../../util/values.ts';
import { type JsonFields, kindOf } from './json-file.ts';
import { MOST_TOKENS } from '../model-config.ts';
import { COMPOSES } from '../tokenizer-metadata.ts';

/** Tokenizer files of a transformers model; all but the first are optional. */
export interface TokenizerFiles {
  tokenizer: JsonFields;
  tokenizerConfig: JsonFields | undefined;
  generationConfig: JsonFields | undefined;
  config: JsonFields;
  /** Text of `chat_template.jinja`. */
  chatTemplate: string | undefined;
}

const BYTE = /^<0x[0-9A-F]{2}>$/;

/**
 * Converts a `tokenizer.json` (huggingface/tokenizers) and its side files to GGUF's `tokenizer.*` keys. Supports
 * byte-level BPE and SentencePiece's BPE with byte fallback. Throws `bad_file` and `unsupported`, naming the field.
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

/** Texts and types of a vocabulary, by id. */
export function readTokens(
  tokenizer: JsonFields,
  model: JsonFields,
  vocabSize: number,
  isSentencePiece: boolean,
): { tokens: string[]; types: number[] } {
  // Models have more rows than tokens, to reach a round number.
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
    // Gemma's text models share the tokenizer of its vision models but lack a row for the image token, which becomes
    // plain text.
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

/** Texts with their ids; Unigram lists them in order with scores. */
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

/** Merges are "a b", or ["a", "b"] in newer files. */
function readMerges(model: JsonFields): string[] {
  return model.list('merges').map((merge, i) => {
    if (typeof merge === 'string') return merge;
    if (Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === 'string'))
      return merge.join(' ');
    return model.fail('merges', `entry ${i} is not two tokens`);
  });
}

/** SentencePiece merges by the score of the result; the merges are listed in that order. */
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

/** Tokens that a post-processor adds around a single text. */
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

/** Type of a token with its id. */
const nameOf = (token: unknown): string | undefined =>
  Array.isArray(token) && typeof token[0] === 'string' ? token[0] : undefined;

/** Reads one template, or several by name. */
function templateOf(config: JsonFields | undefined): string | undefined {
  const template = config?.values['chat_template'];
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return undefined;
  const found: unknown = template.find((entry) => isRecord(entry) && entry['name'] === 'default');
  return isRecord(found) && typeof found['template'] === 'string' ? found['template'] : undefined;
}

/**
 * A post-processor's template for two texts: parts such as `SpecialToken [SEP]` or `Sequence B`, each with a colon and
 * its segment.
 */
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

const tail = '\\p{N}@| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const cutAt = (digits: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${tail.replace('@', digits)}`;

const [upper, lower] = ['\\p{Lu}\\p{Lt}', '\\p{Ll}'].map((letters) => `[${letters}\\p{Lm}\\p{Lo}\\p{M}]`);
/** Cuts at changes of case. */
const casedAt = (end: string, digits: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${end}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${end}|${tail.replace('@', digits).replace('[\\r\\n]*', '[\\r\\n/]*')}`;

/**
 * Cut patterns and llama.cpp's names for them (`tokenizer.ggml.pre`, known to src/tokenizer): one for tokenizers that
 * merge all words from bytes, one for those that skip words that are tokens.
 */
const BY_REGEX = new Map<string, { merged?: string; whole?: string }>([
  [cutAt('{1,3}'), { merged: 'dbrx', whole: 'llama-bpe' }],
  [cutAt(''), { merged: 'qwen2' }],
  [casedAt("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", '{1,3}'), { merged: 'own-gpt-4o' }],
  [casedAt('', ''), { whole: 'own-tekken' }],
]);

/** Name of a byte-level pre-tokenizer. Throws `unsupported` for an unknown one. */
export function preTokenizerName(tokenizer: JsonFields, ignoreMerges: boolean): string {
  const steps = stepsOf(tokenizer.values['pre_tokenizer'], 'pretokenizers');
  const fail = (): never =>
    tokenizer.fail(
      'pre_tokenizer',
      `this pre-tokenizer is not supported: ${JSON.stringify(steps).slice(0, 300)}`,
      'unsupported',
    );
  const last = steps.at(-1);
  if (last?.['type'] !== 'ByteLevel' || last['add_prefix_space'] === true) return fail();
  const before = steps.slice(0, -1);
  const [step] = before;
  if (before.length > 1) return fail();
  if (last['use_regex'] !== false) {
    if (ignoreMerges) return fail();
    if (!step) return 'gpt-2';
    return step['type'] === 'Digits' && step['individual_digits'] === true ? 'smollm' : fail();
  }
  // The patterns cover the whole text, so removing everything else changes nothing.
  const keepsMatches = step?.['behavior'] === (step?.['invert'] === true ? 'Removed' : 'Isolated');
  const pattern = step?.['type'] === 'Split' && keepsMatches ? step['pattern'] : undefined;
  const known = isRecord(pattern) && typeof pattern['Regex'] === 'string' ? BY_REGEX.get(pattern['Regex']) : undefined;
  return (ignoreMerges ? known?.whole : known?.merged) ?? fail();
}

/** Whether a byte-level tokenizer normalises text first. Throws `unsupported` for other steps. */
export function composesText(tokenizer: JsonFields): boolean {
  const normalizers = stepsOf(tokenizer.values['normalizer'], 'normalizers').map(({ type }) => type);
  if (normalizers.some((type) => type !== 'NFC'))
    tokenizer.fail('normalizer', `${normalizers.join(', ')} is not supported`, 'unsupported');
  return normalizers.length > 0;
}

/** Whether a SentencePiece tokenizer puts a space before a text. Throws `unsupported` for unknown steps. */
export function sentencePiecePrefix(tokenizer: JsonFields): boolean {
  let hasPrefix = false;
  for (const step of stepsOf(tokenizer.values['normalizer'], 'normalizers')) {
    const { type, pattern, content, prepend } = step;
    const isSpace = type === 'Replace' && isRecord(pattern) && pattern['String'] === ' ' && content === '▁';
    if (type === 'Prepend' && prepend === '▁') hasPrefix = true;
    else if (!isSpace)
      tokenizer.fail('normalizer', `${JSON.stringify(step).slice(0, 200)} is not supported`, 'unsupported');
  }
  for (const step of stepsOf(tokenizer.values['pre_tokenizer'], 'pretokenizers')) {
    const { type, pattern, behavior, replacement, prepend_scheme: scheme, add_prefix_space: old } = step;
    // After the normalizer the text has no spaces to cut at.
    if (type === 'Split' && isRecord(pattern) && pattern['String'] === ' ' && behavior === 'MergedWithPrevious')
      continue;
    if (type !== 'Metaspace' || replacement !== '▁') {
      tokenizer.fail('pre_tokenizer', `${JSON.stringify(step).slice(0, 200)} is not supported`, 'unsupported');
    }
    hasPrefix ||= scheme === undefined ? old !== false : scheme !== 'never';
  }
  return hasPrefix;
}

function stepsOf(value: unknown, many: string): Record<string, unknown>[] {
  if (!isRecord(value)) return [];
  const steps: unknown = value['type'] === 'Sequence' ? value[many] : [value];
  return Array.isArray(steps) ? steps.filter(isRecord) : [];
}
