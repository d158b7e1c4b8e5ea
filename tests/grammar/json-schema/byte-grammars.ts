import { Ajv2020 } from 'ajv/dist/2020.js';
import { fullFormats } from 'ajv-formats/dist/formats.js';
import { type Grammar, GrammarBuilder } from '../../../src/grammar/grammar.ts';
import { schemaGrammar, type SchemaOptions } from '../../../src/grammar/json-schema/schema-grammar.ts';
import { Matcher } from '../../../src/grammar/parser/matcher.ts';
import { TokenTrie } from '../../../src/grammar/parser/token-trie.ts';
import type { Random } from '../../support/random.ts';

/** Of this vocabulary of bytes, what ends an answer. */
const END = 256;

const BYTES = new TokenTrie({
  vocabSize: 257,
  bytes: Uint8Array.from({ length: 256 }, (_, byte) => byte),
  offsets: Uint32Array.from({ length: 257 }, (_, id) => id),
  eosIds: [END],
  controlTokens: new Map(),
});

const AJV = new Ajv2020({ strict: false, formats: fullFormats });

/** Says whether a validator takes a value; making one takes long. */
export function validator(schema: object): (value: unknown) => boolean {
  const validate = AJV.compile(schema);
  return (value) => validate(value);
}

export function compiled(schema: unknown, options?: SchemaOptions): { grammar: Grammar; ignored: string[] } {
  const builder = new GrammarBuilder();
  const { root, ignored } = schemaGrammar(schema, builder, options);
  return { grammar: builder.build(root), ignored };
}

/** Whether a grammar allows all of an answer, and it to end there. */
export function allows(grammar: Grammar, answer: string): boolean {
  const matcher = new Matcher(grammar, BYTES);
  return Buffer.from(answer).every((byte) => matcher.accept(byte)) && matcher.canEnd;
}

/** Those of the answers that a schema's grammar allows. */
export function allowed(schema: unknown, answers: readonly string[], options?: SchemaOptions): string[] {
  const { grammar } = compiled(schema, options);
  return answers.filter((answer) => allows(grammar, answer));
}

/** The characters that may come after a beginning: 'end' where the answer may end. */
export function nextAfter(schema: unknown, beginning: string, options?: SchemaOptions): string[] {
  const matcher = new Matcher(compiled(schema, options).grammar, BYTES);
  if (!Buffer.from(beginning).every((byte) => matcher.accept(byte))) throw new Error(`${beginning} is not allowed`);
  const mask = matcher.mask();
  const next = Array.from({ length: END + 1 }, (_, id) => id).filter((id) => ((mask[id >> 5] ?? 0) >>> (id & 31)) & 1);
  return next.map((id) => (id === END ? 'end' : String.fromCharCode(id)));
}

/**
 * An answer of which each byte is drawn from those that the grammar allows, all alike, closing ones sooner in the end;
 * undefined where it does not come to an end.
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
    // White space is drawn rarely.
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
