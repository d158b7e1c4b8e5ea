import { Ajv2020 } from 'ajv/dist/2020.js';
import { fullFormats } from 'ajv-formats/dist/formats.js';
import { type Grammar, GrammarBuilder } from '../../../src/grammar/grammar.ts';
import { schemaGrammar, type SchemaOptions } from '../../../src/grammar/json-schema/schema-grammar.ts';
import { Matcher } from '../../../src/grammar/parser/matcher.ts';
import { TokenTrie } from '../../../src/grammar/parser/token-trie.ts';
import type { Random } from '../../support/random.ts';

/** The end token of this byte vocabulary. */
const END = 256;

const BYTES = new TokenTrie({
  vocabSize: 257,
  bytes: Uint8Array.from({ length: 256 }, (_, byte) => byte),
  offsets: Uint32Array.from({ length: 257 }, (_, id) => id),
  eosIds: [END],
  controlTokens: new Map(),
});

const AJV = new Ajv2020({ strict: false, formats: fullFormats });

/** Returns a function that reports whether ajv accepts a value. Creating it is slow. */
export function validator(schema: object): (value: unknown) => boolean {
  const validate = AJV.compile(schema);
  return (value) => validate(value);
}

export function compiled(schema: unknown, options?: SchemaOptions): { grammar: Grammar; ignored: string[] } {
  const builder = new GrammarBuilder();
  const { root, ignored } = schemaGrammar(schema, builder, options);
  return { grammar: builder.build(root), ignored };
}

/** Whether a grammar accepts the complete answer. */
export function allows(grammar: Grammar, answer: string): boolean {
  const matcher = new Matcher(grammar, BYTES);
  return Buffer.from(answer).every((byte) => matcher.accept(byte)) && matcher.canEnd;
}

/** The answers that a schema's grammar accepts. */
export function allowed(schema: unknown, answers: readonly string[], options?: SchemaOptions): string[] {
  const { grammar } = compiled(schema, options);
  return answers.filter((answer) => allows(grammar, answer));
}

/** The characters allowed after a prefix, and 'end' if the answer may end there. */
export function nextAfter(schema: unknown, beginning: string, options?: SchemaOptions): string[] {
  const matcher = new Matcher(compiled(schema, options).grammar, BYTES);
  if (!Buffer.from(beginning).every((byte) => matcher.accept(byte))) throw new Error(`${beginning} is not allowed`);
  const mask = matcher.mask();
  const next = Array.from({ length: END + 1 }, (_, id) => id).filter((id) => ((mask[id >> 5] ?? 0) >>> (id & 31)) & 1);
  return next.map((id) => (id === END ? 'end' : String.fromCharCode(id)));
}

/**
 * Samples an answer byte by byte, uniformly among the allowed bytes; towards the end it prefers closing bytes. Returns
 * undefined if the answer does not end.
 */
export function randomAnswer(grammar: Grammar, random: Random, length = 100): string | undefined {
  const matcher = new Matcher(grammar, BYTES);
  const bytes: number[] = [];
  const closing = new Set([END, ...Buffer.from('"}]0nf')]);
  while (bytes.length < 10 * length) {
    const mask = matcher.mask();
    let tokens = Array.from({ length: END + 1 }, (_, id) => id).filter(
      (id) => ((mask[id >> 5] ?? 0) >>> (id & 31)) & 1,
    );
    if (tokens.length === 0) throw new Error(`nothing may follow ${Buffer.from(bytes).toString()}`);
    // White space is sampled rarely.
    const visible = tokens.filter((id) => id > 0x20);
    if (visible.length > 0 && random.below(10) > 0) tokens = visible;
    const ends = tokens.filter((id) => closing.has(id));
    if (bytes.length > length && ends.length > 0) tokens = ends;
    const token = tokens[random.below(tokens.length)] ?? END;
    if (token === END) return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
    matcher.accept(token);
    bytes.push(token);
  }
  return undefined;
}
