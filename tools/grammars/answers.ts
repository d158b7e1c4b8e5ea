/**
 * Samples random answers to random schemas, and validates complete ones with Ajv:
 *
 *     node --import tsx tools/grammars/answers.ts SCHEMAS.jsonl [--answers 1000] [--tokens 400] [--seed 1]
 *         [--vocabulary smollm2] [--only NAME] [--json FILE]
 *
 * Any token of a mask may be sampled; the longer an answer is, the more often a token that brings its end closer.
 */
import type { ValidateFunction } from 'ajv';
import type { Grammar } from '../../src/grammar/grammar.ts';
import { Matcher } from '../../src/grammar/parser/matcher.ts';
import { Random } from '../../tests/support/random.ts';
import { validatorOf } from './draft-validator.ts';
import { commandLine, writeReport } from './measures.ts';
import { bitsOf, compiled, drawn, trieOf } from './product.ts';
import { readSchemas, type JudgedSchema } from './schemas.ts';
import { openVocabulary } from './vocabularies.ts';

interface Fault {
  name: string;
  answer: string;
  faults: string[];
}

const { args, options } = commandLine();
const [answers, mostTokens, seed] = [
  ['answers', 1000],
  ['tokens', 400],
  ['seed', 1],
].map(([name, value]) => Number(options.get(name as string) ?? value)) as [number, number, number];
const vocabulary = await openVocabulary(options.get('vocabulary') ?? 'smollm2');
const trie = trieOf(vocabulary);
const random = new Random(seed);
const bits = (is: (text: string, id: number) => boolean): Uint32Array =>
  bitsOf(
    [...texts.keys()].filter((id) => is(texts[id]!, id)),
    trie.words,
  );
const texts = vocabulary.tokens.map((bytes) => new TextDecoder().decode(bytes));
const ends = bits((_, id) => vocabulary.eosIds.includes(id));
const others = bits((_, id) => !vocabulary.eosIds.includes(id));
/** Closing and short tokens, which bring the end closer. */
const closing = bits((text) => /^["\]}]+$/.test(text));
const short = bits((text) => text.length === 1 && text > ' ');

/** An answer, or undefined if it exceeds the limit of tokens. */
function draw(grammar: Grammar): string | undefined {
  const matcher = new Matcher(grammar, trie);
  const tokens: number[] = [];
  while (tokens.length < mostTokens) {
    const mask = matcher.mask();
    const haste = 0.1 + (0.9 * tokens.length) / mostTokens;
    const token =
      (random.next() < haste ? (drawn(mask, ends, random) ?? drawn(mask, closing, random)) : undefined) ??
      (random.next() < 0.5 ? drawn(mask, short, random) : undefined) ??
      drawn(mask, others, random) ??
      drawn(mask, ends, random);
    if (token === undefined) throw new Error(`no token after ${vocabulary.tokenizer.decode(tokens).slice(-200)}`);
    if (vocabulary.eosIds.includes(token)) return vocabulary.tokenizer.decode(tokens);
    if (!matcher.accept(token)) throw new Error(`token ${token} is in the mask and not taken`);
    tokens.push(token);
  }
  return undefined;
}

interface Opened {
  grammar: Grammar | string;
  validate: ValidateFunction | undefined;
}

function open({ schema }: JudgedSchema): Opened {
  const grammar = compiled({ schema });
  try {
    return { grammar, validate: validatorOf(schema as object) };
  } catch {
    return { grammar, validate: undefined };
  }
}

/** Whether an answer has numbers that JSON.parse rounds; Ajv's verdict on their multiples does not count. */
const hasGreatNumbers = (answer: string): boolean => /\d{16}/.test(answer.replace(/"(?:[^"\\]|\\.)*"/g, ''));

const only = options.get('only');
const schemas = readSchemas(args[0] ?? '').filter(({ name }) => only === undefined || name.includes(only));
const opened = new Map<string, Opened>();
const counts = { drawn: 0, ended: 0, valid: 0, notReadByAjv: 0, beyondDoubles: 0, notJson: 0, invalid: 0, broken: 0 };
const faulty: Fault[] = [];
while (counts.drawn < answers) {
  const judged = schemas[random.below(schemas.length)]!;
  const kept = opened.get(judged.name) ?? open(judged);
  opened.set(judged.name, kept);
  const { grammar, validate } = kept;
  if (typeof grammar === 'string') {
    if ([...opened.values()].every((each) => typeof each.grammar === 'string') && opened.size === schemas.length) break;
    continue;
  }
  counts.drawn++;
  let answer: string | undefined;
  try {
    answer = draw(grammar);
  } catch (error) {
    counts.broken++;
    faulty.push({ name: judged.name, answer: '', faults: [String(error)] });
    continue;
  }
  if (answer === undefined) continue;
  counts.ended++;
  let value: unknown;
  try {
    value = JSON.parse(answer);
  } catch (error) {
    counts.notJson++;
    faulty.push({ name: judged.name, answer, faults: [String(error)] });
    continue;
  }
  if (!validate) counts.notReadByAjv++;
  else if (validate(value)) counts.valid++;
  else if (hasGreatNumbers(answer)) counts.beyondDoubles++;
  else {
    counts.invalid++;
    const faults = (validate.errors ?? []).map(
      ({ instancePath, schemaPath, message }) => `${instancePath} ${message} (${schemaPath})`,
    );
    faulty.push({ name: judged.name, answer, faults: faults.slice(0, 4) });
  }
}

for (const { name, answer, faults } of faulty)
  console.log(`${name}: ${faults.join('; ')}\n    ${answer.length > 600 ? `${answer.slice(0, 600)}…` : answer}`);
console.log(
  `${counts.drawn} answers, ${counts.ended} ended: ${counts.valid} valid, ${counts.invalid} not valid, ${counts.notJson} no JSON, ` +
    `${counts.beyondDoubles} with numbers that it rounds, ${counts.notReadByAjv} of schemas that it cannot compile; ${counts.broken} broke`,
);
writeReport(options.get('json'), { ...counts, faulty });
