import { openGrammars } from '../../../src/grammar/open-grammars.ts';
import type { ResponseFormat } from '../../../src/grammar/response-format.ts';
import type { Grammars, GrammarVocabulary } from '../../../src/grammar/token-grammar.ts';
import type { Random } from '../random.ts';

/** The end token of this byte vocabulary. */
export const END = 256;

/** A vocabulary of single bytes and a token that ends an answer. */
const BYTES: GrammarVocabulary = {
  vocabSize: 257,
  bytes: Uint8Array.from({ length: 256 }, (_, byte) => byte),
  offsets: Uint32Array.from({ length: 258 }, (_, id) => Math.min(id, 256)),
  eosIds: [END],
  controlTokens: new Map([['<end>', END]]),
};

export const byteGrammars = (): Grammars => openGrammars(() => BYTES);

const isAmong = (words: Uint32Array | undefined, token: number): boolean =>
  (((words?.[token >>> 5] ?? 0) >>> (token & 31)) & 1) === 1;

/** Samples an answer byte by byte, uniformly among the allowed bytes; towards the end it prefers closing bytes. */
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
    for (let next = grammar.first; next;) {
      const { mask } = next;
      let tokens = Array.from({ length: BYTES.vocabSize }, (_, id) => id).filter((id) => isAmong(mask, id));
      const ends = tokens.filter((id) => closing.has(id));
      if (bytes.length > length && ends.length > 0) tokens = ends;
      const token = tokens[random.below(tokens.length)];
      if (token === undefined) throw new Error('the grammar allows nothing');
      if (token === END) break;
      bytes.push(token);
      if (bytes.length > 20 * length) throw new Error('the answer has no end');
      next = await grammar.follow([token]);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
  } finally {
    grammar.dispose();
  }
}

/** Whether a grammar accepts the complete answer. */
export async function allows(grammars: Grammars, format: ResponseFormat, answer: string): Promise<boolean> {
  const grammar = await grammars.begin(format);
  try {
    let next = grammar.first;
    for (const token of Buffer.from(answer)) {
      if (!next || !isAmong(next.mask, token)) return false;
      next = await grammar.follow([token]);
    }
    return next === undefined || isAmong(next.mask, END);
  } finally {
    grammar.dispose();
  }
}
