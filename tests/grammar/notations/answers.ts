import { type Grammar, GrammarBuilder, type Sym } from '../../../src/grammar/grammar.ts';
import { GrammarError } from '../../../src/grammar/limits.ts';
import type { ControlTokens } from '../../../src/grammar/notations/free-text.ts';
import { Matcher } from '../../../src/grammar/parser/matcher.ts';
import { TokenTrie } from '../../../src/grammar/parser/token-trie.ts';
import type { Random } from '../../support/random.ts';

/** The end token of a vocabulary of single bytes. */
const END = 256;
const CONTROL_TOKENS = new Map([
  ['<|im_end|>', END],
  ['<think>', 257],
  ['</think>', 258],
  ['<tool_call>', 259],
]);
const VOCAB_SIZE = 260;
export const control: ControlTokens = (name) => CONTROL_TOKENS.get(name);

const trie = new TokenTrie({
  vocabSize: VOCAB_SIZE,
  bytes: Uint8Array.from({ length: 256 }, (_, byte) => byte),
  offsets: Uint32Array.from({ length: VOCAB_SIZE + 1 }, (_, id) => Math.min(id, 256)),
  eosIds: [END],
  controlTokens: CONTROL_TOKENS,
});

/** The grammar of the symbol that `write` adds. */
export function grammarOf(write: (builder: GrammarBuilder) => Sym): Grammar {
  const builder = new GrammarBuilder();
  return builder.build(write(builder));
}

/** The location and reason of a refused grammar. */
export function refusalOf(write: (builder: GrammarBuilder) => Sym): string {
  try {
    grammarOf(write);
  } catch (error) {
    if (error instanceof GrammarError) return error.message;
    throw error;
  }
  return 'taken';
}

/** The tokens of a text; control tokens are written between « and ». */
const tokensOf = (text: string): number[] =>
  text
    .split(/«(.*?)»/)
    .flatMap((part, i) => (i % 2 === 1 ? [CONTROL_TOKENS.get(part) ?? -1] : [...new TextEncoder().encode(part)]));

/** Whether an answer is complete, a prefix of one, or wrong from some byte on. */
export function verdict(grammar: Grammar, answer: string): 'whole' | 'begun' | `wrong at ${number}` {
  const matcher = new Matcher(grammar, trie);
  for (const [i, token] of tokensOf(answer).entries()) if (!matcher.accept(token)) return `wrong at ${i}`;
  return matcher.canEnd ? 'whole' : 'begun';
}

/** The complete answers. */
export const wholeOf = (grammar: Grammar, answers: readonly string[]): string[] =>
  answers.filter((answer) => verdict(grammar, answer) === 'whole');

/** Bytes that bring an answer closer to its end. */
const CLOSING = [...'"]})>'].map((char) => char.charCodeAt(0));

/**
 * An answer of random allowed tokens, preferring `words`, and closing tokens towards the end. Returns undefined if it is
 * not complete after `most` tokens.
 */
export function randomAnswer(
  grammar: Grammar,
  random: Random,
  words: readonly string[],
  most = 300,
): string | undefined {
  const matcher = new Matcher(grammar, trie);
  const bytes: number[] = [];
  const take = (word: Iterable<number>): boolean => {
    const taken: number[] = [];
    for (const byte of word) {
      if (!matcher.accept(byte)) {
        matcher.rollback(taken.length);
        return false;
      }
      taken.push(byte);
    }
    bytes.push(...taken);
    return true;
  };
  const encoder = new TextEncoder();
  while (bytes.length < most) {
    if (matcher.canEnd && (matcher.mustEnd || random.below(12) === 0)) {
      return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
    }
    const word = words[random.below(2 * words.length)];
    if (bytes.length < most / 3 && word !== undefined && take(encoder.encode(word))) continue;
    const mask = matcher.mask();
    const allowed = Array.from({ length: 255 }, (_, byte) => byte).filter(
      (byte) => (mask[byte >> 5]! >>> (byte & 31)) & 1,
    );
    const closing = allowed.filter((byte) => CLOSING.includes(byte));
    const from = closing.length > 0 && random.below(3) > 0 ? closing : allowed;
    const byte = from[random.below(from.length)];
    if (byte === undefined || !take([byte])) return undefined;
  }
  return undefined;
}
