import { MAX_SEQUENCES } from '../../src/config/limits.ts';
import type { KvOptions } from '../../src/cache/policy.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions, RankOptions } from '../../src/engine/types.ts';
import { kvOptions, SQUAD_FLAGS } from '../command-flags.ts';
import { parseFlags, refuseFlags, required, wholeFlag } from '../flags.ts';
import { withModel } from '../open-model.ts';
import type { Output } from '../output.ts';
import { rankOptions } from '../ranks.ts';
import { bootstrap, type Estimate, formatEstimate, mean } from '../statistics.ts';
import { fillIn, HELD_OUT_ARTICLES, type Question, readPrompt, readSquad, type SquadPrompt } from './squad-file.ts';

interface Answered extends Scores {
  id: string;
  question: string;
  answer: string;
  gold: string[];
  /** Mean rank counted by the GPU, and its number of tokens. */
  meanRank: number;
  computed: number;
}

/**
 * `eval squad`: exact match and F1, in percent, over the questions of the last 12 articles, answered greedily.
 * `--streams N`: questions at a time.
 */
export async function evaluateSquad(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, SQUAD_FLAGS);
  refuseFlags(values, ['plan', 'save-plan'], 'a plan is of one text, and each question is a text of its own');
  refuseFlags(values, ['kv-shadow'], 'no errors are reported here');
  const limit = wholeFlag('limit', values.limit, 1) ?? Infinity;
  const questions = (await readSquad(required('data', values.data), HELD_OUT_ARTICLES)).slice(0, limit);
  const prompt = await readPrompt(values.adapter?.[0]?.replace(/:-?[\d.]+$/, ''));
  const streams = wholeFlag('streams', values.streams, 1, MAX_SEQUENCES) ?? MAX_SEQUENCES;
  const ranks = await rankOptions(values);
  const kv = kvOptions(values);
  return withModel(values, async (engine, adapters) => {
    const { length } = questions;
    const progress = (done: number) =>
      !values.json && process.stderr.write(`\r${done} of ${length}${done === length ? '\n' : ''}`);
    const answered = await answerQuestions(
      engine,
      questions,
      prompt,
      { adapters, ...kv, ...ranks },
      { streams, progress },
    );
    return { json: { ...answered, device: engine.device }, text: formatAnswers(answered) };
  });
}

/** `meanRank`: over all computed tokens, counted by the GPU. */
export interface Answers {
  questions: number;
  /** In percent. */
  exactMatch: Estimate;
  f1: Estimate;
  meanRank: number;
  answers: Answered[];
}

/** Answers greedily, `streams` questions at a time. */
export async function answerQuestions(
  engine: LocalEngine,
  questions: readonly Question[],
  prompt: SquadPrompt,
  adaptation: RankOptions & Pick<GenerateOptions, 'adapters' | 'speculate' | keyof KvOptions>,
  { streams = MAX_SEQUENCES, progress }: { streams?: number; progress?: (done: number) => void } = {},
): Promise<Answers> {
  const options = { maxTokens: prompt.maxTokens, sampling: GREEDY, stop: [], ...adaptation };
  const answers: Answered[] = [];
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < questions.length; i = next++) {
      const question = questions[i] as Question;
      answers[i] = await answer(engine, question, fillIn(prompt, question), options);
      progress?.(++done);
    }
  };
  await Promise.all(Array.from({ length: streams }, work));
  const percent = (of: (answered: Answered) => number) =>
    bootstrap(answers.length, (indices) => 100 * mean(indices.map((i) => of(answers[i] as Answered))));
  const tokens = answers.reduce((sum, { computed }) => sum + computed, 0);
  const meanRank = answers.reduce((sum, each) => sum + each.meanRank * each.computed, 0) / Math.max(1, tokens);
  return {
    questions: answers.length,
    exactMatch: percent((answered) => answered.exactMatch),
    f1: percent((answered) => answered.f1),
    ...{ meanRank, answers },
  };
}

export const formatAnswers = ({ questions, exactMatch, f1, meanRank }: Answers): string =>
  `${questions} questions: exact match ${formatEstimate(exactMatch, 1)}, F1 ${formatEstimate(f1, 1)}, mean rank ${meanRank.toFixed(2)}`;

async function answer(
  engine: LocalEngine,
  { id, question, answers: gold }: Question,
  content: string,
  options: GenerateOptions,
): Promise<Answered> {
  let text = '';
  let meanRank = 0;
  let computed = 0;
  for await (const event of engine.chat([{ role: 'user', content }], options)) {
    text += event.text;
    if (event.type !== 'end') continue;
    const { promptTokens, cachedTokens, completionTokens } = event.usage;
    meanRank = event.report.meanRank ?? 0;
    computed = promptTokens - cachedTokens + completionTokens;
  }
  return { id, question, answer: text.trim(), gold, ...score(text, gold), meanRank, computed };
}

/** An answer normalised as in SQuAD 1.1's evaluation: lower case, without punctuation, articles and extra spaces. */
export function normalizeAnswer(text: string): string {
  return text
    .toLowerCase()
    .replace(/[!-/:-@[-`{-~]/g, '')
    .replace(/\b(a|an|the)\b/g, ' ')
    .split(/\s+/)
    .filter((word) => word !== '')
    .join(' ');
}

export interface Scores {
  exactMatch: number;
  f1: number;
}

/** Scores of the best matching gold answer; 0 to 1. */
export function score(answer: string, golds: readonly string[]): Scores {
  const given = normalizeAnswer(answer);
  const wanted = golds.map(normalizeAnswer);
  return {
    exactMatch: wanted.includes(given) ? 1 : 0,
    f1: Math.max(0, ...wanted.map((gold) => f1(given.split(' '), gold.split(' ')))),
  };
}

/** Harmonic mean of precision and recall over words. */
function f1(given: readonly string[], gold: readonly string[]): number {
  const left = [...gold];
  const shared = given.filter((word) => {
    const at = left.indexOf(word);
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  }).length;
  return (2 * shared) / (given.length + gold.length);
}
