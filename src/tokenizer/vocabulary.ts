import { TOKEN_TYPES, type TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/**
 * Tokens that end an answer by their text, whatever their type in the file: ends of turns and texts, and padding and
 * separators of fill-in-the-middle prompts (llama.cpp, src/llama-vocab.cpp).
 */
const END_TEXTS = new Set(
  (
    '<|eot_id|> <|eom_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> <|endoftext|> ' +
    '</s> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|> <|tool_response> ' +
    '<｜end▁of▁sentence｜> <|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD] <|fim_repo|> <|repo_name|> <fim-repo> ' +
    '<REPO> <reponame> <|file_sep|>'
  ).split(' '),
);
/**
 * `</s>` is also HTML, and a plain word in vocabularies with another end token; there it ends nothing (unlike in
 * llama.cpp).
 */
const HTML_END = '</s>';

/** The longest tokens of real vocabularies have some hundred characters. */
const MOST_TOKEN_CHARS = 4096;
/** Most characters of all special tokens, which become one pattern; speech models have half of it. */
const MOST_SOUGHT_CHARS = 1 << 20;

/** A model's checked vocabulary. */
export interface Vocabulary {
  readonly texts: readonly string[];
  readonly ids: ReadonlyMap<string, number>;
  /** `TOKEN_TYPES` by id; a token that ends an answer is a control token. */
  readonly types: Uint8Array;
  readonly endIds: ReadonlySet<number>;
}

/**
 * Throws `bad_file` for lists of unequal length, a text that is too long or occurs twice (in Gemma 4 some do; the last
 * counts, as in llama.cpp), and ids outside the vocabulary.
 */
export function readVocabulary(metadata: TokenizerMetadata): Vocabulary {
  checkLists(metadata);
  const { tokens: texts, tokenTypes } = metadata;
  const ids = new Map<string, number>();
  texts.forEach((text, id) => {
    if (text === '') return;
    if (text.length > MOST_TOKEN_CHARS) {
      throw badKey(
        metadata,
        'tokens',
        `token ${id} has ${text.length} characters; at most ${MOST_TOKEN_CHARS} are read`,
      );
    }
    if (ids.has(text) && metadata.model !== 'gemma4') {
      throw badKey(
        metadata,
        'tokens',
        `tokens ${ids.get(text)} and ${id} are both ${JSON.stringify(text.slice(0, 80))}`,
      );
    }
    ids.set(text, id);
  });
  const named = [metadata.eosId, metadata.eotId, metadata.eomId];
  const typeOf = (id: number): number => tokenTypes?.[id] ?? TOKEN_TYPES.normal;
  const isEnd = (text: string, id: number): boolean =>
    END_TEXTS.has(text) && (text !== HTML_END || named.includes(id) || typeOf(id) === TOKEN_TYPES.control);
  const ends = [...END_TEXTS]
    .map((text) => ids.get(text))
    .filter((id) => id !== undefined && isEnd(texts[id] ?? '', id));
  const endIds = new Set([...named, ...ends].filter((id) => id !== undefined));
  const types = Uint8Array.from(texts, (text, id) => (isEnd(text, id) ? TOKEN_TYPES.control : typeOf(id)));
  const sought = texts.reduce((sum, text, id) => sum + (SOUGHT.includes(types[id] ?? 0) ? text.length : 0), 0);
  if (sought > MOST_SOUGHT_CHARS) {
    throw badKey(
      metadata,
      'token_type',
      `control and user-defined tokens have ${sought} characters; at most ${MOST_SOUGHT_CHARS} are read`,
    );
  }
  return { texts, ids, types, endIds };
}

function badKey(metadata: TokenizerMetadata, key: string, reason: string): ChunkwiseError {
  return new ChunkwiseError('bad_file', { file: metadata.file, field: `tokenizer.ggml.${key}`, reason });
}

function checkLists(metadata: TokenizerMetadata): void {
  const bad = (key: string, reason: string): ChunkwiseError => badKey(metadata, key, reason);
  const count = metadata.tokens.length;
  if (count === 0) throw bad('tokens', 'the vocabulary is empty');
  for (const [key, list] of [
    ['scores', metadata.scores],
    ['token_type', metadata.tokenTypes],
  ] as const) {
    if (list !== undefined && list.length !== count) throw bad(key, `${list.length} entries for ${count} tokens`);
  }
  if (metadata.scores !== undefined && Array.from(metadata.scores).some(Number.isNaN))
    throw bad('scores', 'a score is NaN');
  const ids = {
    bos_token_id: metadata.bosId,
    eos_token_id: metadata.eosId,
    eot_token_id: metadata.eotId,
    eom_token_id: metadata.eomId,
    unknown_token_id: metadata.unkId,
  };
  for (const [key, id] of Object.entries(ids)) {
    if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < count)) {
      throw bad(key, `token ${id} is not among the ${count} of the vocabulary`);
    }
  }
}

/** Types of tokens that are searched for in a text, such as a chat template's. */
const SOUGHT: readonly number[] = [TOKEN_TYPES.userDefined, TOKEN_TYPES.control, TOKEN_TYPES.unknown];

/**
 * Matches special tokens in a text: user-defined ones always, control and unknown ones with `parseSpecial`. The longest
 * match counts. One capture group.
 */
export function specialPattern({ texts, types }: Vocabulary, parseSpecial: boolean): RegExp | undefined {
  const sought = parseSpecial ? SOUGHT : [TOKEN_TYPES.userDefined];
  const found = texts.filter((text, id) => text !== '' && sought.includes(types[id] ?? 0));
  if (found.length === 0) return undefined;
  found.sort((a, b) => b.length - a.length);
  return new RegExp(`(${found.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|')})`, 'gu');
}

/** A kind of tokenizer: converts plain text to pieces, and a piece to bytes. */
export interface Scheme {
  /** `text` begins the prompt or follows a special token. */
  words(text: string): Iterable<string>;
  pieces(word: string): string[];
  /** Ids of a piece that is not a token. */
  fallback(piece: string): number[];
  bytes(text: string, type: number): Uint8Array;
  addBos: boolean;
  addEos?: boolean;
}
