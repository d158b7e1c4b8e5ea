import { checked, checkFilledList, describe, fieldsOf, refuse } from '../checks.ts';
import { parseAdapters } from '../adapters.ts';
import type { Calibration, CalibrationRequest } from './types.ts';
import { type DecisionClient, readQuestions } from './decide.ts';
import { calibrationError, fitTemperature, type Judged, meanNll } from './distribution.ts';
import { parseInput, parsePermutations, parseQuestion } from './parse-decisions.ts';
import type { Question } from './questions.ts';

/** Reads labelled questions and fits a temperature for each type. Errors: `bad_request`, naming the field, and those of the engine. */
export async function calibrate(
  client: DecisionClient,
  request: CalibrationRequest,
  signal: AbortSignal | undefined,
): Promise<Calibration> {
  const { examples, permutations } = checked('request', () => parseCalibration(request));
  const judged = new Map<Question['type'], Judged[]>();
  for (const { messages, question, right } of examples) {
    const [read] = await readQuestions(client, { messages, questions: [question], permutations }, signal);
    const own = judged.get(question.type) ?? [];
    own.push({ readings: read?.readings ?? [], right });
    judged.set(question.type, own);
  }
  return Object.fromEntries([...judged].map(([type, own]) => [type, fit(own)]));
}

/** Fits a temperature to questions of one type. */
function fit(judged: readonly Judged[]) {
  const temperature = fitTemperature(judged);
  const beforeAndAfter = (of: typeof meanNll) => ({ before: of(judged, 1), after: of(judged, temperature) });
  return {
    examples: judged.length,
    temperature,
    nll: beforeAndAfter(meanNll),
    ece: beforeAndAfter(calibrationError),
  };
}

export function parseCalibration(request: unknown) {
  const fields = fieldsOf(request, 'request', ['examples', 'adapter', 'permutations']);
  const examples = checkFilledList(fields['examples'], 'examples');
  const adapters = parseAdapters(fields['adapter']);
  return {
    permutations: parsePermutations(fields['permutations']),
    examples: examples.map((example, i) => {
      const at = `examples[${i}]`;
      const { input, question: asked, answer } = fieldsOf(example, at, ['input', 'question', 'answer']);
      const question = parseQuestion(asked, `${at}.question`, adapters);
      const isRight = ({ value, name }: Question['options'][number]): boolean =>
        value === answer || (question.type === 'score' && name === answer);
      const right = question.options.findIndex(isRight);
      if (right < 0) refuse(`${at}.answer`, `is not an answer to the question: ${describe(answer)}`);
      return { messages: parseInput(input), question, right };
    }),
  };
}
