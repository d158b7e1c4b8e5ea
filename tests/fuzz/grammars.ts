import { grammarVocabulary } from '../../src/engine/features/grammar.ts';
import { openGrammars } from '../../src/grammar/open-grammars.ts';
import type { ResponseFormat } from '../../src/grammar/response-format.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { SCHEMAS } from '../support/grammars/schemas.ts';
import { BytesSource } from '../support/bytes-source.ts';
import type { Random } from '../support/random.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { check, type FuzzCase, type FuzzKind } from './kind.ts';
import { mutateJson, mutateText, pick, SMALL_HOSTILE } from './mutate.ts';

type Follow = (format: ResponseFormat, random: Random) => Promise<void>;

/** Tokens sampled from each grammar. */
const STEPS = 4;

async function openFollow(): Promise<Follow> {
  const file = await openGguf([
    new BytesSource(
      'tiny.gguf',
      tinyModel({
        architecture: 'llama',
        type: 'F32',
        seed: 1,
        hiddenSize: 32,
        intermediateSize: 32,
        numHeads: 1,
        numKvHeads: 1,
        numLayers: 1,
      }),
    ),
  ]);
  const tokenizer = createTokenizer(readTokenizerMetadata(file));
  const { vocabSize } = tokenizer;
  const grammars = openGrammars(() => grammarVocabulary(tokenizer, vocabSize));
  const follow: Follow = async (format, random) => {
    const grammar = await grammars.begin(format);
    try {
      let next = grammar.first;
      for (let step = 0; step < STEPS && next; step++) {
        const words: Uint32Array = next.mask;
        check(words.length === Math.ceil(vocabSize / 32), `a mask of ${words.length} words`);
        const tokens = Array.from({ length: vocabSize }, (_, id) => id).filter(
          (id) => ((words[id >> 5]! >>> (id & 31)) & 1) === 1,
        );
        check(tokens.length > 0, 'a mask of bits that are no tokens');
        const token = pick(tokens, random);
        if (tokenizer.eosIds.has(token)) break;
        next = await grammar.follow([token]);
      }
    } finally {
      grammar.dispose();
    }
  };
  return follow;
}

/** Small JSON schemas with unusual values. */
export const schemas: FuzzKind = {
  codes: ['bad_request'],
  async open() {
    const follow = await openFollow();
    const whole = Object.entries(SCHEMAS);
    return (random): FuzzCase => {
      const [name, schema] = pick(whole, random);
      const [what, text] = mutateJson(schema, random, SMALL_HOSTILE);
      return {
        what: `${name}: ${what}`,
        bytes: text.length,
        run: () => follow({ type: 'json_schema', schema: JSON.parse(text) as unknown }, random),
      };
    };
  },
};

const EBNF = [
  'root ::= "yes" | "no"',
  'root ::= item ("," " "? item){0,3}\nitem ::= [a-z]+ "-" [0-9]{1,3} | "(" root ")"',
  'root ::= (expression "=" term "\\n")+\nexpression ::= term ([-+*/] term)*\nterm ::= number | "(" expression ")"\nnumber ::= [0-9] [0-9]*\n# end',
];
const PIECES = [
  '"',
  '(',
  ')',
  '[',
  ']',
  '{2}',
  '{0,5}',
  '{,',
  '|',
  '::=',
  'root',
  '\\',
  '\n',
  '""',
  '*',
  '?',
  '+',
  '[^',
  '\0',
  '😀',
  '[z-a]',
  '(?=',
  '#',
];

const LARK = [
  'start: "yes" | "no"',
  'start: item ("," item)*\nitem: NAME "=" /[0-9]+/\nNAME: /[a-z]+/i\n%ignore /\\s+/',
  'start: %json {"type": "object", "properties": {"a": {"type": "integer"}}}',
];

/** EBNF and Lark with spans cut, repeated and moved. */
export const grammars: FuzzKind = {
  codes: ['bad_request'],
  async open() {
    const follow = await openFollow();
    return (random): FuzzCase => {
      const syntax = pick(['ebnf', 'lark'] as const, random);
      let [what, grammar] = mutateText(pick(syntax === 'ebnf' ? EBNF : LARK, random), random, PIECES);
      if (random.below(2) === 0) {
        const [more, again] = mutateText(grammar, random, PIECES);
        [what, grammar] = [`${what}; ${more}`, again];
      }
      return { what, bytes: grammar.length, run: () => follow({ type: 'grammar', grammar, syntax }, random) };
    };
  },
};
