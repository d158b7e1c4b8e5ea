import { loadXgrammar } from '../../../src/node/xgrammar.ts';
import { Grammars } from '../../../src/grammar/grammars.ts';
import type { ResponseFormat } from '../../../src/grammar/response-format.ts';
import { bytesInAlphabet } from '../../../src/tokenizer/byte-alphabet.ts';
import type { Random } from '../random.ts';

/** Of this vocabulary of bytes, what ends an answer. */
export const END = 256;

/** A vocabulary of single bytes and a token that ends an answer. */
const BYTES = {
  vocabSize: 257,
  tokenBytes: (id: number) => (id === END ? new Uint8Array() : Uint8Array.of(id)),
  eosIds: new Set([END]),
  byteText: bytesInAlphabet,
};

export const byteGrammars = (): Grammars => new Grammars(BYTES, loadXgrammar);

const isAmong = (words: Uint32Array | undefined, token: number): boolean =>
  (((words?.[token >>> 5] ?? 0) >>> (token & 31)) & 1) === 1;

/** An answer of which each byte is drawn from those that the grammar allows, all alike, closing ones sooner in the end. */
export async function randomAnswer(
  grammars: Grammars,
  format: ResponseFormat,
  random: Random,
  length = 200,
): Promise<string> {
  const grammar = await grammars.begin(format);
  const bytes: number[] = [];
  const closing = new Set([END, ...Buffer.from('"}]0nf')]);
  try {
    let words = await grammar.allowed();
    for (;;) {
      let tokens = Array.from({ length: BYTES.vocabSize }, (_, id) => id).filter((id) => isAmong(words, id));
      const ends = tokens.filter((id) => closing.has(id));
      if (bytes.length > length && ends.length > 0) tokens = ends;
      const token = tokens[random.below(tokens.length)];
      if (token === undefined) throw new Error('the grammar allows nothing');
      words = await grammar.follow(token);
      if (token === END) return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
      bytes.push(token);
      if (bytes.length > 20 * length) throw new Error('the answer has no end');
    }
  } finally {
    grammar.dispose();
  }
}

/** Whether a grammar allows all of an answer, and it to end there. */
export async function allows(grammars: Grammars, format: ResponseFormat, answer: string): Promise<boolean> {
  const grammar = await grammars.begin(format);
  try {
    let words = await grammar.allowed();
    for (const token of [...Buffer.from(answer), END]) {
      if (!isAmong(words, token)) return false;
      words = await grammar.follow(token);
    }
    return true;
  } finally {
    grammar.dispose();
  }
}
