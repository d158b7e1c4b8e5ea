import { grammarVocabulary } from '../../src/engine/features/grammar.ts';
import { GrammarBuilder, type Grammar } from '../../src/grammar/grammar.ts';
import { schemaGrammar } from '../../src/grammar/json-schema/schema-grammar.ts';
import { GrammarError } from '../../src/grammar/limits.ts';
import { ebnfGrammar } from '../../src/grammar/notations/ebnf.ts';
import { larkGrammar } from '../../src/grammar/notations/lark.ts';
import { TokenTrie } from '../../src/grammar/parser/token-trie.ts';
import type { Random } from '../../tests/support/random.ts';
import type { Vocabulary } from './vocabularies.ts';

/** A grammar in one of the notations that a request may have. */
export type Format = { schema: unknown } | { ebnf: string } | { lark: string };

/** Compiles a grammar that shares nothing with earlier ones. Throws GrammarError. */
export function compile(format: Format): Grammar {
  const builder = new GrammarBuilder();
  if ('schema' in format) return builder.build(schemaGrammar(format.schema, builder).root);
  return builder.build('ebnf' in format ? ebnfGrammar(format.ebnf, builder) : larkGrammar(format.lark, builder));
}

/** The compiled grammar, or the reason why it is refused. Other errors are faults and are thrown. */
export function compiled(format: Format): Grammar | string {
  try {
    return compile(format);
  } catch (error) {
    if (error instanceof GrammarError) return `${error.at}: ${error.reason}`;
    throw error;
  }
}

/** The trie of a vocabulary, as a session builds it. */
export const trieOf = ({ tokenizer, vocabSize }: Vocabulary): TokenTrie =>
  new TokenTrie(grammarVocabulary(tokenizer, vocabSize));

/** Whether a mask allows a token. */
export const has = (mask: Uint32Array, token: number): boolean => ((mask[token >> 5]! >>> (token & 31)) & 1) === 1;

/** The tokens of a mask. */
export function tokensOf(mask: Uint32Array): number[] {
  const tokens: number[] = [];
  for (let word = 0; word < mask.length; word++)
    for (let bits = mask[word]!; bits !== 0; bits &= bits - 1) tokens.push(word * 32 + 31 - Math.clz32(bits & -bits));
  return tokens;
}

/** A mask with the bits of `tokens`. */
export function bitsOf(tokens: Iterable<number>, words: number): Uint32Array {
  const bits = new Uint32Array(words);
  for (const token of tokens) bits[token >> 5]! |= 1 << (token & 31);
  return bits;
}

/** A token sampled uniformly from those in both masks; undefined if there is none. */
export function drawn(mask: Uint32Array, among: Uint32Array, random: Random): number | undefined {
  let count = 0;
  for (let word = 0; word < mask.length; word++) count += onesOf(mask[word]! & among[word]!);
  let left = random.below(count);
  for (let word = 0; word < mask.length; word++) {
    let bits = mask[word]! & among[word]!;
    const ones = onesOf(bits);
    if (left < ones) {
      while (left-- > 0) bits &= bits - 1;
      return bits === 0 ? undefined : word * 32 + 31 - Math.clz32(bits & -bits);
    }
    left -= ones;
  }
  return undefined;
}

function onesOf(bits: number): number {
  const pairs = bits - ((bits >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
