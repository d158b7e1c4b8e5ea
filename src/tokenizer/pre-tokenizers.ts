/** Cuts text into words before byte-level BPE; merges never cross a cut. */
export interface PreTokenizer {
  /** Patterns applied in turn: each cuts the pieces of the previous one at its matches and keeps the text between. */
  readonly patterns: readonly RegExp[];
  /** A word that is a token skips the merges. */
  readonly ignoreMerges?: boolean;
  /** Whether BOS is added if the file does not say. */
  readonly addBos?: boolean;
}

// Unicode's White_Space: JavaScript's \s adds U+FEFF and lacks U+0085.
const WHITE = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
/** Replaces `\s` and `\S`, inside and outside classes, by Unicode's White_Space. */
function pattern(source: string): RegExp {
  const unicode = source
    .replace(/(\[[^\]]*?)\\s/g, `$1${WHITE}`)
    .replaceAll('\\s', `[${WHITE}]`)
    .replaceAll('\\S', `[^${WHITE}]`);
  return new RegExp(unicode, 'gu');
}

const GPT2 = pattern("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)");

const CONTRACTIONS = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const SYMBOLS = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*';
const LLAMA3 = pattern(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${SYMBOLS}|${SPACES}`);
const QWEN2 = pattern(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${SYMBOLS}|${SPACES}`);
const QWEN35 = pattern(
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`,
);
// Letters that may be in the upper-case part of a word, and in its lower-case part.
const UPPER = '(?:(?=\\p{L})[^a-z])';
const LOWER = '(?:(?=\\p{L})[^A-Z])';
const CASED_WORD = `[^\\r\\n\\p{L}\\p{N}]?(?:${UPPER}*${LOWER}+|${UPPER}+${LOWER}*)`;
const TEKKEN = pattern(`${CASED_WORD}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`);
const GPT4O = pattern(`${CASED_WORD}(?:${CONTRACTIONS})?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`);

// The same two as in the models' own tokenizers: with the case of every script, and marks within words.
const OWN_UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const OWN_LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const OWN_CASED_WORD = `[^\\r\\n\\p{L}\\p{N}]?(?:${OWN_UPPER}*${OWN_LOWER}+|${OWN_UPPER}+${OWN_LOWER}*)`;
const OWN_GPT4O = pattern(
  `${OWN_CASED_WORD}(?:${CONTRACTIONS})?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`,
);
const OWN_TEKKEN = pattern(`${OWN_CASED_WORD}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`);

const gpt2: PreTokenizer = { patterns: [GPT2] };
const digitsThenGpt2: PreTokenizer = { patterns: [pattern('\\p{N}'), GPT2] };
const dbrx: PreTokenizer = { patterns: [LLAMA3] };
const llama3: PreTokenizer = { patterns: [LLAMA3], ignoreMerges: true, addBos: true };
const qwen2: PreTokenizer = { patterns: [QWEN2] };
const qwen35: PreTokenizer = { patterns: [QWEN35] };
const tekken: PreTokenizer = { patterns: [TEKKEN], ignoreMerges: true, addBos: true };
const gpt4o: PreTokenizer = { patterns: [GPT4O] };

/** By the value of `tokenizer.ggml.pre` (llama.cpp, src/llama-vocab.cpp). */
export const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ['gpt-2', gpt2],
  ['olmo', gpt2],
  ['smollm', digitsThenGpt2],
  ['starcoder', digitsThenGpt2],
  ['refact', digitsThenGpt2],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['lfm2', llama3],
  ['dbrx', dbrx],
  ['smaug-bpe', dbrx],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
  ['qwen35', qwen35],
  ['tekken', tekken],
  ['gpt-4o', gpt4o],
]);

/** Further ones for safetensors, which llama.cpp lacks. */
export const OWN_PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ['own-gpt-4o', { patterns: [OWN_GPT4O] }],
  ['own-tekken', { patterns: [OWN_TEKKEN], ignoreMerges: true, addBos: true }],
]);
