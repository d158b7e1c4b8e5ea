import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import type { ModelHeader } from './model-header.ts';

/** Our own key, which no GGUF file has. */
export const COMPOSES = 'tokenizer.chunkwise.composes';

/**
 * Collects the `tokenizer.*` keys of a GGUF file (ggml/docs/gguf.md). Throws `bad_file` naming a key that is missing or
 * of another type; whether the values fit together is the tokenizer's to check.
 */
export function readTokenizerMetadata({ metadata }: Pick<ModelHeader, 'metadata'>): TokenizerMetadata {
  const key = (name: string): string => `tokenizer.ggml.${name}`;
  const optional = <T>(name: string, read: (key: string) => T): T | undefined =>
    metadata.has(key(name)) ? read(key(name)) : undefined;
  return {
    file: metadata.file,
    model: metadata.string(key('model')),
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
  };
}
