import { type TokenizerMetadata, UNIGRAM_SPACES } from '../config/tokenizer-metadata.ts';
import { fail, type GgufMetadata } from './gguf/gguf-metadata.ts';
import type { ModelHeader } from './model-header.ts';

/** Keys of this package that no GGUF file has. */
export const COMPOSES = 'tokenizer.chunkwise.composes';
export const SPACES = 'tokenizer.chunkwise.spaces';

/**
 * Collects the `tokenizer.*` keys of a GGUF file (ggml/docs/gguf.md). Throws `bad_file` naming a missing key or one of
 * another type; the tokenizer checks consistency.
 */
export function readTokenizerMetadata({ metadata }: Pick<ModelHeader, 'metadata'>): TokenizerMetadata {
  const key = (name: string): string => `tokenizer.ggml.${name}`;
  const optional = <T>(name: string, read: (key: string) => T): T | undefined =>
    metadata.has(key(name)) ? read(key(name)) : undefined;
  const model = metadata.string(key('model'));
  return {
    file: metadata.file,
    model,
    pre: metadata.optionalString(key('pre')),
    composes: metadata.optionalBoolean(COMPOSES),
    tokens: metadata.strings(key('tokens')),
    scores: optional('scores', (name) => metadata.numbers(name)),
    tokenTypes: optional('token_type', (name) => metadata.numbers(name)),
    merges: optional('merges', (name) => metadata.strings(name)),
    bosId: metadata.optionalNumber(key('bos_token_id')),
    eosId: metadata.optionalNumber(key('eos_token_id')),
    eotId: metadata.optionalNumber(key('eot_token_id')),
    eomId: metadata.optionalNumber(key('eom_token_id')),
    unkId: metadata.optionalNumber(key('unknown_token_id')),
    addBos: metadata.optionalBoolean(key('add_bos_token')),
    addEos: metadata.optionalBoolean(key('add_eos_token')),
    addSpacePrefix: metadata.optionalBoolean(key('add_space_prefix')),
    chatTemplate: metadata.optionalString('tokenizer.chat_template'),
    ...(model === 'bert' && wordPieceMetadata(metadata)),
    ...(model === 't5' && unigramMetadata(metadata)),
  };
}

/** WordPiece puts a text between `[CLS]` and `[SEP]`, which have their own keys in some files. */
function wordPieceMetadata(metadata: GgufMetadata): Partial<TokenizerMetadata> {
  const key = (name: string): string => `tokenizer.ggml.${name}`;
  const tokens = metadata.strings(key('tokens'));
  const idOf = (text: string, ...names: string[]): number | undefined => {
    const named = names.map((name) => metadata.optionalNumber(key(name))).find((id) => id !== undefined);
    const found = tokens.indexOf(text);
    return named ?? (found < 0 ? undefined : found);
  };
  return {
    bosId: idOf('[CLS]', 'cls_token_id', 'bos_token_id'),
    eosId: idOf('[SEP]', 'seperator_token_id', 'eos_token_id'), // GGUF's spelling
    unkId: idOf('[UNK]', 'unknown_token_id'),
    addBos: true,
    addEos: true,
    lowercases: metadata.optionalBoolean(key('lowercase')),
    stripsAccents: metadata.optionalBoolean(key('strip_accents')),
  };
}

function unigramMetadata(metadata: GgufMetadata): Partial<TokenizerMetadata> {
  const charsmap = 'tokenizer.ggml.precompiled_charsmap';
  const said = metadata.optionalString(SPACES);
  return {
    charsmap: metadata.has(charsmap) ? bytesOf(metadata, charsmap) : undefined,
    mergesSpaces: metadata.optionalBoolean('tokenizer.ggml.remove_extra_whitespaces'),
    spaces: UNIGRAM_SPACES.find((spaces) => spaces === said),
  };
}

/** Reads an array of signed or unsigned bytes. */
function bytesOf(metadata: GgufMetadata, key: string): Uint8Array {
  const values = metadata.numbers(key);
  return values.BYTES_PER_ELEMENT === 1
    ? new Uint8Array(values.buffer, values.byteOffset, values.length)
    : fail(metadata, key, 'must be an array of bytes');
}
