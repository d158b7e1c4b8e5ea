import type { LabelRead, LabelScores } from '../../engine/types.ts';
import { checked } from '../checks.ts';
import type { RemoteEngine } from '../../../workers/protocol.ts';
import type { Decision, DecisionAnswer, DecisionRequest } from './types.ts';
import { indexOfLargest, logSum, probabilities, type Readings } from './distribution.ts';
import { parseDecisions, type ParsedDecisions } from './parse-decisions.ts';
import { type Question, readingsOf } from './questions.ts';

/** The engine's methods that decisions use. */
export type DecisionClient = Pick<RemoteEngine, 'scoreLabels' | 'adapters'>;

/** The readings of a question, one for each order of its options. */
export interface ReadQuestion {
  readings: Readings;
  labelMass: number;
  isLikeliest: boolean;
  scores: readonly LabelScores[];
}

/** Errors: `bad_request`, naming the field, and those of the engine. */
export async function decide(
  client: DecisionClient,
  model: string,
  request: DecisionRequest,
  signal: AbortSignal | undefined,
): Promise<Decision> {
  const parsed = checked('request', () => parseDecisions(request));
  const read = await readQuestions(client, parsed, signal);
  const temperatures = await temperaturesOf(client, parsed.questions);
  const answers = parsed.questions.map((question, i) =>
    answerOf(question, read[i] as ReadQuestion, temperatures[i] as number, parsed),
  );
  const scores = read.flatMap((question) => question.scores);
  const sum = (of: (own: LabelScores) => number): number => scores.reduce((total, own) => total + of(own), 0);
  const input = sum(({ promptTokens }) => promptTokens.length);
  return {
    model,
    answers,
    usage: {
      input_tokens: input,
      input_tokens_details: {
        cached_tokens: sum(({ cachedTokens }) => cachedTokens),
        cache_write_tokens: 0,
        read_again_tokens: sum(({ readAgain }) => readAgain),
      },
      output_tokens: scores.length,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: input + scores.length,
    },
    chunkwise: { answeredBy: 'device' },
  };
}

/** Reads all questions in all orders with one call of the engine. */
export async function readQuestions(
  client: DecisionClient,
  { messages, questions, permutations }: Pick<ParsedDecisions, 'messages' | 'questions' | 'permutations'>,
  signal: AbortSignal | undefined,
): Promise<ReadQuestion[]> {
  const asked = questions.map((question) => readingsOf(question, permutations));
  const reads = questions.flatMap(({ adapters }, i) =>
    (asked[i] ?? []).map(({ text, spellings }): LabelRead => ({ text, labels: spellings.flat(), adapters })),
  );
  const scores = new Array<LabelScores>(reads.length);
  for await (const each of client.scoreLabels(messages, reads, { signal })) scores[each.read] = each;
  let next = 0;
  return asked.map((readings) => {
    const own = scores.slice(next, (next += readings.length));
    return {
      readings: readings.map(({ spellings }, i) => {
        const logs = [...(own[i]?.logprobs ?? [])];
        return spellings.map(({ length }) => logSum(logs.splice(0, length)));
      }),
      labelMass: own.reduce((mass, { logprobs }) => mass + Math.min(1, Math.exp(logSum(logprobs))), 0) / own.length,
      isLikeliest: own.every(({ isLikeliest }) => isLikeliest),
      scores: own,
    };
  });
}

/** Returns the temperature of each question: its own, or that of its only adapter, or 1. */
async function temperaturesOf(client: DecisionClient, questions: readonly Question[]): Promise<number[]> {
  const asks = questions.some(({ adapters, temperature }) => temperature === undefined && adapters.length === 1);
  const loaded = new Map(asks ? (await client.adapters()).map((info) => [info.name, info]) : []);
  return questions.map(({ type, adapters: [adapter, ...others], temperature }) => {
    if (temperature !== undefined) return temperature;
    return (others.length === 0 && adapter && loaded.get(adapter.name)?.decisionTemperatures?.[type]) || 1;
  });
}

function answerOf(
  { type, name, options }: Question,
  { readings, labelMass, isLikeliest, scores }: ReadQuestion,
  temperature: number,
  { leastMass, returnsTokens }: ParsedDecisions,
): DecisionAnswer {
  const own = {
    name,
    label_mass: labelMass,
    argmax_is_label: isLikeliest,
    ...(returnsTokens && { prompt_token_ids: [...(scores[0]?.promptTokens ?? [])] }),
  };
  if (labelMass < leastMass) return { type: 'refusal', ...own };
  const shares = probabilities(readings, temperature);
  const share = (i: number): number => shares[i] as number;
  const likeliest = indexOfLargest(shares);
  const confidence = share(likeliest) * labelMass;
  if (type === 'predicate') return { type, ...own, probability: share(0) };
  if (type === 'choice') {
    const values = options.map(({ value }) => value as string | boolean);
    return {
      ...{ type, ...own, choice: values[likeliest] as string | boolean, confidence },
      probabilities: values.map((value, i) => ({ value, probability: share(i) })),
    };
  }
  return {
    ...{ type, ...own, score: shares.reduce((sum, each, level) => sum + level * each, 0), confidence },
    probabilities: options.map(({ name: label }, value) => ({ value, label, probability: share(value) })),
  };
}
