import { cachedPerplexity, increaseOver } from '../../../cli/evaluations/kv.ts';
import { answerQuestions, type Answers, formatAnswers } from '../../../cli/evaluations/squad.ts';
import { type Question, readPrompt } from '../../../cli/evaluations/squad-file.ts';
import { type Estimate, formatEstimate } from '../../../cli/statistics.ts';
import { policyOf } from '../../../src/cache/policy.ts';
import { MAX_SEQUENCES } from '../../../src/config/limits.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import type { Perplexity } from '../../../cli/measure/evaluate.ts';
import { elementsOf, pageBytes } from '../answers.ts';
import { bleu } from './bleu.ts';
import { BASELINE, type ModeName, type OpenMode, withModes } from './modes.ts';

/** Context in tokens: four questions with their paragraphs. */
const ANSWER_CONTEXT = 4096;

export interface TextQuality {
  tokens: number;
  perplexity: number;
  /** Rise above the baseline as a fraction, with its interval over blocks of tokens. */
  increase?: Estimate;
  meanRank: number;
  /** Cache pages at the end of the last window. */
  bitsPerElement: number;
}

export interface Windows {
  /** Tokens of a window. */
  context: number;
  windows: number;
}

/** The first tokens of a text. */
export type ReadText = (engine: LocalEngine, count: number) => Promise<readonly number[]>;

/** Perplexity of a text with each mode except speculation, which changes no likelihood. */
export async function measurePerplexity(
  names: readonly ModeName[],
  adapter: string,
  read: ReadText,
  { context, windows }: Windows,
): Promise<Record<string, TextQuality>> {
  const found: Record<string, TextQuality> = {};
  let baseline: Perplexity | undefined;
  for (const name of baselineFirst(names)) {
    if (name === 'speculation') continue;
    await withModes([name], adapter, context, async ([mode]) => {
      const { engine, rank, adapters, how } = mode as OpenMode;
      const window = context - (engine.tokenizer.addBos ? 1 : 0);
      const tokens = await read(engine, windows * window);
      const adaptation = await engine.adapt(adapters, how);
      const measured = await cachedPerplexity(engine, tokens, context, policyOf(how), { adaptation });
      if (name === BASELINE) baseline = measured;
      found[name] = {
        ...{ tokens: measured.tokens, perplexity: measured.perplexity },
        ...(baseline && name !== BASELINE && { increase: increaseOver(baseline, measured) }),
        meanRank: name === BASELINE ? rank : measured.meanRank,
        bitsPerElement: (8 * pageBytes(measured.kv)) / (await elementsOf(engine, Math.min(context, tokens.length))),
      };
    });
    console.log(
      `  ${name}: perplexity ${found[name]?.perplexity.toFixed(4)}, mean rank ${found[name]?.meanRank.toFixed(2)}`,
    );
  }
  return found;
}

export interface AnswerQuality extends Pick<Answers, 'exactMatch' | 'f1' | 'meanRank'> {
  /** Difference from the baseline's answers. */
  bleu?: Estimate;
}

/** Questions for a reading adapter. Speculation runs one question at a time, because shared steps verify no drafts. */
export async function measureAnswers(
  names: readonly ModeName[],
  adapter: string,
  questions: readonly Question[],
): Promise<Record<string, AnswerQuality>> {
  const prompt = await readPrompt(adapter);
  const found: Record<string, AnswerQuality> = {};
  let baseline: string[] | undefined;
  for (const name of baselineFirst(names)) {
    await withModes([name], adapter, ANSWER_CONTEXT, async ([mode]) => {
      const { engine, rank, request } = mode as OpenMode;
      const answered = await answerQuestions(engine, questions, prompt, request, {
        streams: name === 'speculation' ? 1 : MAX_SEQUENCES,
      });
      const texts = answered.answers.map(({ answer }) => answer);
      if (name === BASELINE) baseline = texts;
      const { exactMatch, f1 } = answered;
      const meanRank = name === BASELINE ? rank : answered.meanRank;
      found[name] = { exactMatch, f1, meanRank, ...(baseline && name !== BASELINE && { bleu: bleu(texts, baseline) }) };
      const bleuTold = found[name]?.bleu ? `, BLEU ${formatEstimate(found[name].bleu, 1)}` : '';
      console.log(`  ${name}: ${formatAnswers({ ...answered, meanRank })}${bleuTold}`);
    });
  }
  return found;
}

const baselineFirst = (names: readonly ModeName[]): ModeName[] =>
  [...names].sort((a, b) => Number(b === BASELINE) - Number(a === BASELINE));
