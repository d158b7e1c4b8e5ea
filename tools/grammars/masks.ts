/**
 * Compares the masks of schemas with llguidance's, bit for bit:
 *
 *     node --import tsx tools/grammars/masks.ts SCHEMAS.jsonl [--vocabulary smollm2] [--schemas 200] [--steps 50] [--seed 1]
 *         [--only NAME] [--json FILE]
 *
 * Paths are the values marked valid in the file of schemas, and tokens sampled from our own masks: from the start, and from
 * a random place in a value.
 */
import { Random } from '../../tests/support/random.ts';
import { Matcher } from '../../src/grammar/parser/matcher.ts';
import { Llguidance, type Followed } from './llguidance.ts';
import { commandLine, writeReport } from './measures.ts';
import { compiled, has, tokensOf, trieOf } from './product.ts';
import { readSchemas, type JudgedSchema } from './schemas.ts';
import { openVocabulary } from './vocabularies.ts';
import type { Grammar } from '../../src/grammar/grammar.ts';

/** Masks that differ at one place. */
interface Difference {
  before: string;
  onlyOurs: string[];
  onlyTheirs: string[];
  counts: [onlyOurs: number, onlyTheirs: number];
}

interface Compared {
  name: string;
  steps: number;
  differing: number;
  differences: Difference[];
  refusedByUs?: string;
  refusedByThem?: string;
}

const { args, options } = commandLine();
const [most, steps, seed] = ['schemas', 'steps', 'seed'].map((name) => Number(options.get(name)) || undefined);
const vocabulary = await openVocabulary(options.get('vocabulary') ?? 'smollm2');
const { tokenizer } = vocabulary;
const trie = trieOf(vocabulary);
const llguidance = new Llguidance(vocabulary);
const random = new Random(seed ?? 1);
const STEPS = steps ?? 50;

/** Tokens sampled from our masks after `path`, every other one short, so that values end. */
function drawn(grammar: Grammar, path: readonly number[]): number[] {
  const matcher = new Matcher(grammar, trie);
  const tokens: number[] = [];
  for (const token of path) if (matcher.accept(token)) tokens.push(token);
  while (tokens.length < STEPS) {
    const allowed = tokensOf(matcher.mask()).filter((id) => !tokenizer.eosIds.has(id));
    const short = allowed.filter((id) => vocabulary.tokens[id]!.length === 1);
    const from = random.below(2) === 0 && short.length > 0 ? short : allowed;
    if (from.length === 0) break;
    const token = from[random.below(from.length)]!;
    if (!matcher.accept(token)) throw new Error(`token ${token} is in the mask and not taken`);
    tokens.push(token);
  }
  return tokens;
}

const shown = (ids: readonly number[]): string[] => {
  const some = ids.length <= 6 ? ids : Array.from({ length: 6 }, (_, i) => ids[Math.floor((i * ids.length) / 6)]!);
  return some.map((id) => (tokenizer.eosIds.has(id) ? 'END' : JSON.stringify(tokenizer.tokenText(id))));
};

function compare(compared: Compared, grammar: Grammar, path: readonly number[], theirs: Followed): void {
  const matcher = new Matcher(grammar, trie);
  for (const [step, mask] of theirs.masks.entries()) {
    const ours = matcher.mask();
    compared.steps++;
    if (ours.some((word, i) => word !== mask[i])) {
      compared.differing++;
      const onlyOurs = tokensOf(ours.map((word, i) => word & ~mask[i]!));
      const onlyTheirs = tokensOf(ours.map((word, i) => mask[i]! & ~word));
      if (compared.differences.length < 3)
        compared.differences.push({
          before: tokenizer.decode(path.slice(0, step)).slice(-100),
          onlyOurs: shown(onlyOurs),
          onlyTheirs: shown(onlyTheirs),
          counts: [onlyOurs.length, onlyTheirs.length],
        });
    }
    const token = path[step];
    if (token !== undefined && (!has(ours, token) || !matcher.accept(token))) return;
  }
}

async function judge({ name, schema, schemaText, instances }: JudgedSchema): Promise<Compared> {
  const compared: Compared = { name, steps: 0, differing: 0, differences: [] };
  const grammar = compiled({ schema });
  if (typeof grammar === 'string') compared.refusedByUs = grammar;
  const valid = instances.filter((instance) => instance.valid);
  const values = valid.slice(0, 2).map(({ text }) => vocabulary.encode(text).slice(0, STEPS));
  const paths =
    typeof grammar === 'string'
      ? [[]]
      : [...values, drawn(grammar, []), drawn(grammar, (values[0] ?? []).slice(0, random.below(30)))];
  for (const [i, followed] of (await llguidance.follow({ schema: schemaText }, paths)).entries()) {
    if (followed.error !== null) compared.refusedByThem ??= followed.error.replace(/\s+/g, ' ');
    if (typeof grammar !== 'string') compare(compared, grammar, paths[i]!, followed);
  }
  return compared;
}

const only = options.get('only');
const schemas = readSchemas(args[0] ?? '').filter(({ name }) => only === undefined || name.includes(only));
for (let i = schemas.length - 1; i > 0; i--) {
  const other = random.below(i + 1);
  [schemas[i], schemas[other]] = [schemas[other]!, schemas[i]!];
}
const results: Compared[] = [];
let both = 0;
for (const schema of schemas) {
  if (both === (most ?? 200)) break;
  try {
    const compared = await judge(schema);
    results.push(compared);
    if (compared.steps > 0) both++;
  } catch (error) {
    console.log(
      `BROKEN  ${schema.name}: ${error instanceof Error ? (error.stack ?? '').slice(0, 500) : String(error)}`,
    );
  }
}
await llguidance.close();

for (const { name, steps: count, differing, differences } of results) {
  if (differing === 0) continue;
  console.log(`${name}: ${differing} of ${count} masks differ`);
  for (const { before, onlyOurs, onlyTheirs, counts } of differences)
    console.log(
      `    after ${JSON.stringify(before)}\n        only ours ${counts[0]}: ${onlyOurs.join(' ')}\n        only theirs ${counts[1]}: ${onlyTheirs.join(' ')}`,
    );
}
for (const { name, refusedByUs, refusedByThem } of results)
  if ((refusedByUs === undefined) !== (refusedByThem === undefined))
    console.log(
      `refused by ${refusedByUs === undefined ? 'them' : 'us'} alone: ${name}: ${refusedByUs ?? refusedByThem}`,
    );
const total = (value: (compared: Compared) => number): number => results.reduce((sum, c) => sum + value(c), 0);
console.log(
  `${vocabulary.vocabSize} tokens: ${both} schemas, ${total(({ steps: count }) => count)} masks, ` +
    `${total(({ differing }) => differing)} differ in ${total(({ differing }) => Number(differing > 0))} schemas`,
);
writeReport(options.get('json'), results);
