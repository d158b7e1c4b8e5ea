/**
 * Checks that the masks of schemas accept valid values and reject invalid ones:
 *
 *     node --import tsx tools/grammars/maskbench.ts SCHEMAS.jsonl [--vocabulary smollm2] [--only NAME] [--json FILE]
 *
 * Each value is written as by Python, tokenized for a real model, and checked by the masks token by token. A slow schema is
 * compiled and checked again, and the lesser time of each step counts: a garbage collection or another process may
 * interfere.
 */
import { Matcher } from '../../src/grammar/parser/matcher.ts';
import { commandLine, timed, Timings, writeReport } from './measures.ts';
import { compiled, has, trieOf } from './product.ts';
import { type JudgedSchema, readSchemas } from './schemas.ts';
import { openVocabulary } from './vocabularies.ts';

/** Times from which a schema is checked again, and the number of repetitions. */
const [SLOW_COMPILE_MS, SLOW_MASK_MS, AGAIN] = [50, 5, 2];

interface Verdict {
  name: string;
  /** The reason why the schema is refused. */
  refused?: string;
  /** An error that is no refusal. */
  broken?: string;
  falseAccepts: string[];
  falseRejects: string[];
  right: number;
}

const { args, options } = commandLine();
const vocabulary = await openVocabulary(options.get('vocabulary') ?? 'smollm2');
const [trie, trieMs] = timed(() => trieOf(vocabulary));
const only = options.get('only');
const schemas = readSchemas(args[0] ?? '').filter(({ name }) => only === undefined || name.includes(only));

/** Verdict on a schema, and CPU ms of its compilation and of each mask along its valid values. */
interface Judged {
  verdict: Verdict;
  compileMs: number;
  maskMs: number[];
}

/** Index of the first rejected token; undefined if the whole value is accepted. */
function stoppedAt(matcher: Matcher, tokens: readonly number[], maskMs: number[]): number | undefined {
  for (const [step, token] of [...tokens, undefined].entries()) {
    const [mask, ms] = timed(() => matcher.mask());
    maskMs.push(ms);
    const isAllowed = token === undefined ? matcher.canEnd : has(mask, token);
    if (token !== undefined && matcher.accept(token) !== isAllowed)
      throw new Error(
        `step ${step}: mask ${isAllowed ? 'has' : 'lacks'} what accept ${isAllowed ? 'refuses' : 'takes'}`,
      );
    if (token === undefined && vocabulary.eosIds.some((id) => has(mask, id) !== isAllowed))
      throw new Error(`step ${step}: the end's tokens in the mask are not what canEnd says`);
    if (!isAllowed) return step;
  }
  return undefined;
}

/** Compiles a schema from scratch, and follows its values. */
function judge({ name, schema, instances }: JudgedSchema): Judged {
  const verdict: Verdict = { name, falseAccepts: [], falseRejects: [], right: 0 };
  const judged: Judged = { verdict, compileMs: 0, maskMs: [] };
  try {
    const [grammar, ms] = timed(() => compiled({ schema }));
    judged.compileMs = ms;
    if (typeof grammar === 'string') {
      verdict.refused = grammar;
      return judged;
    }
    for (const { text, valid, description } of instances) {
      const tokens = vocabulary.encode(text);
      const stop = stoppedAt(new Matcher(grammar, trie), tokens, valid ? judged.maskMs : []);
      if ((stop === undefined) === valid) verdict.right++;
      else if (valid) {
        const taken = vocabulary.tokenizer.decode(tokens.slice(0, stop));
        const next = vocabulary.tokenizer.decode(tokens.slice(stop, stop! + 4));
        verdict.falseRejects.push(`${description}: ${taken.slice(-80)}█${next}`);
      } else verdict.falseAccepts.push(`${description}: ${text.slice(0, 300)}`);
    }
  } catch (error) {
    verdict.broken = error instanceof Error ? (error.stack ?? error.message).slice(0, 600) : String(error);
  }
  return judged;
}

const [compiles, masks] = [new Timings(), new Timings()];
const verdicts: Verdict[] = [];
for (const schema of schemas) {
  const judged = judge(schema);
  const isSlow = (): boolean => judged.compileMs > SLOW_COMPILE_MS || judged.maskMs.some((ms) => ms > SLOW_MASK_MS);
  for (let again = 0; again < AGAIN && isSlow(); again++) {
    const { compileMs, maskMs } = judge(schema);
    judged.compileMs = Math.min(judged.compileMs, compileMs);
    judged.maskMs = judged.maskMs.map((ms, step) => Math.min(ms, maskMs[step] ?? ms));
  }
  verdicts.push(judged.verdict);
  compiles.add(schema.name, judged.compileMs);
  for (const [step, ms] of judged.maskMs.entries()) masks.add(schema.name, ms, `mask ${step}`);
}

const count = (value: (verdict: Verdict) => number): number => verdicts.reduce((sum, v) => sum + value(v), 0);
const report = {
  vocabulary: vocabulary.name,
  schemas: schemas.length,
  instances: schemas.reduce((sum, { instances }) => sum + instances.length, 0),
  refused: count(({ refused }) => Number(refused !== undefined)),
  broken: count(({ broken }) => Number(broken !== undefined)),
  allRight: verdicts.filter((v, i) => v.right > 0 && v.broken === undefined && v.right === schemas[i]!.instances.length)
    .length,
  right: count(({ right }) => right),
  falseAccepts: count(({ falseAccepts }) => falseAccepts.length),
  falseRejects: count(({ falseRejects }) => falseRejects.length),
  trieMs,
  compile: compiles.summary(),
  mask: masks.summary(),
};

for (const { name, refused, broken, falseAccepts, falseRejects } of verdicts) {
  if (refused !== undefined) console.log(`refused       ${name}: ${refused}`);
  if (broken !== undefined) console.log(`BROKEN        ${name}: ${broken}`);
  for (const accept of falseAccepts) console.log(`FALSE ACCEPT  ${name}: ${accept}`);
  for (const reject of falseRejects) console.log(`FALSE REJECT  ${name}: ${reject}`);
}
for (const { name, ms } of compiles.worst(8)) console.log(`compile ${ms.toFixed(1)} ms: ${name}`);
for (const { name, ms, detail } of masks.worst(12)) console.log(`mask ${ms.toFixed(2)} ms: ${name}, ${detail}`);
console.log(compiles.line('compile'));
console.log(masks.line(`mask, ${vocabulary.vocabSize} tokens`));
console.log(
  `${report.schemas} schemas: ${report.refused} refused, ${report.broken} broken, ${report.allRight} with all values right; ` +
    `${report.right} of ${report.instances} values right, ${report.falseAccepts} false accepts, ${report.falseRejects} false rejects`,
);
writeReport(options.get('json'), { ...report, verdicts });
