import type { Experimental_DecisionModel as AnyDecisionModel } from 'ai';
import type { DecisionAnswer, DecisionQuestion, DecisionRequest } from '../api/decisions/types.ts';
import type { Engine } from '../api/engine-types.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { engineOf, type LazyEngine, modelFields } from './lazy-engine.ts';

/** The model type of `experimental_decide`. */
export type DecisionModel = Extract<AnyDecisionModel, { doDecide: unknown }>;
type Asked = Parameters<DecisionModel['doDecide']>[0];
type Decided = Awaited<ReturnType<DecisionModel['doDecide']>>;
type Question = Asked['questions'][string];

/** Options in `providerOptions.chunkwise`; see `DecisionRequest` and `DecisionQuestion`. */
export interface DecisionOptions {
  adapter?: DecisionRequest['adapter'];
  permutations?: number;
  min_label_mass?: number;
  /** Options of single questions, by their ids. */
  questions?: Record<string, Pick<DecisionQuestion, 'adapter' | 'temperature'>>;
}

/**
 * Makes a decision model for `experimental_decide` that calls `engine.decisions`. Errors: those of the engine; `unsupported`
 * for files in the state.
 */
export function decisionModel(engine: Pick<Engine, 'decisions' | 'model'> | LazyEngine): DecisionModel {
  return Object.assign(modelFields(engine), {
    supportedQuestionTypes: ['choice', 'score', 'boolean'] as DecisionModel['supportedQuestionTypes'],
    async doDecide({ state, questions, providerOptions, abortSignal }: Asked): Promise<Decided> {
      const { questions: own = {}, ...options } = (providerOptions?.['chunkwise'] ?? {}) as DecisionOptions;
      const asked = Object.entries(questions).map(([id, question]) => ({ ...questionOf(id, question), ...own[id] }));
      const request: DecisionRequest = {
        ...options,
        input: [{ role: 'user', content: state.map(partOf) }],
        questions: asked,
      };
      const { decisions } = await engineOf(engine, abortSignal);
      const { answers, usage } = await decisions.create(request, {
        ...(abortSignal && { signal: abortSignal }),
      });
      const { cached_tokens: cachedTokens, read_again_tokens: readAgainTokens } = usage.input_tokens_details;
      const byId = <T>(of: (answer: DecisionAnswer) => T): Record<string, T> =>
        Object.fromEntries(answers.map((answer): [string, T] => [answer.name ?? '', of(answer)]));
      return {
        answers: byId(answerOf),
        usage: { inputTokens: usage.input_tokens, outputTokens: usage.output_tokens },
        warnings: [],
        providerMetadata: {
          chunkwise: { cachedTokens, readAgainTokens, labelMass: byId(({ label_mass }) => label_mass) },
        },
      };
    },
  });
}

function partOf(part: Asked['state'][number], i: number) {
  if (part.type === 'text') return { type: 'input_text' as const, text: part.text };
  if (part.type === 'json') return { type: 'input_text' as const, text: JSON.stringify(part.value) };
  throw new ChunkwiseError('unsupported', { field: `state[${i}]`, reason: 'is a file; only text is supported' });
}

const textOf = (value: unknown): string =>
  value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value);

function questionOf(name: string, question: Question): DecisionQuestion {
  const own = { name, instructions: textOf(question.instructions) };
  if (question.type === 'choice') {
    const choices = Object.entries(question.criteria).map(([value, about]) => ({ value, description: textOf(about) }));
    return { type: 'choice', ...own, choices };
  }
  if (question.type === 'score') {
    const levels = question.criteria.map((level, i) => ({ label: textOf(level) || `level ${i}` }));
    return { type: 'score', ...own, levels };
  }
  if (question.type === 'boolean') {
    const { true: yes, false: no } = question.criteria ?? {};
    return { type: 'predicate', ...own, criteria: { true: textOf(yes), false: textOf(no) } };
  }
  throw new ChunkwiseError('unsupported', {
    field: `questions.${name}.type`,
    reason: `the type ${question.type} is not supported`,
  });
}

function answerOf(answer: DecisionAnswer): Decided['answers'][string] {
  if (answer.type === 'predicate') return { type: 'boolean', probability: answer.probability };
  if (answer.type === 'refusal') return { type: 'refusal' };
  const each = answer.probabilities as readonly { value: unknown; probability: number }[];
  const probabilities = Object.fromEntries(
    each.map(({ value, probability }): [string, number] => [String(value), probability]),
  );
  if (answer.type === 'choice') return { type: 'choice', choice: String(answer.choice), probabilities };
  return { type: 'score', score: answer.score, probabilities };
}
