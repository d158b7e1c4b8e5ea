import { isRecord } from '../../config/is-record.ts';
import type { JsonFields } from './json-file.ts';

const tail = '\\p{N}@| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const cutAt = (digits: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${tail.replace('@', digits)}`;

const [upper, lower] = ['\\p{Lu}\\p{Lt}', '\\p{Ll}'].map((letters) => `[${letters}\\p{Lm}\\p{Lo}\\p{M}]`);
/** At changes of case. */
const casedAt = (end: string, digits: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${end}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${end}|${tail.replace('@', digits).replace('[\\r\\n]*', '[\\r\\n/]*')}`;

/**
 * What text is cut by, and llama.cpp's names for it (`tokenizer.ggml.pre`, which src/tokenizer knows): where all words are
 * merged from their bytes, and where a word that is a token is not.
 */
const BY_REGEX = new Map<string, { merged?: string; whole?: string }>([
  [cutAt('{1,3}'), { merged: 'dbrx', whole: 'llama-bpe' }],
  [cutAt(''), { merged: 'qwen2' }],
  [casedAt("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", '{1,3}'), { merged: 'own-gpt-4o' }],
  [casedAt('', ''), { whole: 'own-tekken' }],
]);

/** The name of a byte-level tokenizer's way to cut text into words. Throws `unsupported` for one that is not known. */
export function preTokenizerName(tokenizer: JsonFields, ignoreMerges: boolean): string {
  const steps = stepsOf(tokenizer.values['pre_tokenizer'], 'pretokenizers');
  const fail = (): never =>
    tokenizer.fail(
      'pre_tokenizer',
      `this way of cutting text into words is not supported: ${JSON.stringify(steps).slice(0, 300)}`,
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
  // The patterns leave nothing between their matches: to remove all but these is the same.
  const keepsMatches = step?.['behavior'] === (step?.['invert'] === true ? 'Removed' : 'Isolated');
  const pattern = step?.['type'] === 'Split' && keepsMatches ? step['pattern'] : undefined;
  const known = isRecord(pattern) && typeof pattern['Regex'] === 'string' ? BY_REGEX.get(pattern['Regex']) : undefined;
  return (ignoreMerges ? known?.whole : known?.merged) ?? fail();
}

/** Whether a byte-level tokenizer composes text before it cuts it. Throws `unsupported` for other steps. */
export function composesText(tokenizer: JsonFields): boolean {
  const normalizers = stepsOf(tokenizer.values['normalizer'], 'normalizers').map(({ type }) => type);
  if (normalizers.some((type) => type !== 'NFC'))
    tokenizer.fail('normalizer', `${normalizers.join(', ')} is not supported`, 'unsupported');
  return normalizers.length > 0;
}

/** Whether a SentencePiece tokenizer puts a space before a text. Throws `unsupported` for steps that it does not know. */
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
    // Behind the normalizer there are no spaces to cut at.
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
