import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import { checkJson, describe, refuse, fieldsOf, checkRecord, checkText, optional } from '../checks.ts';
import type { Decision, DecisionAnswer, DecisionQuestion, DecisionRequest } from '../decisions/types.ts';

/** `state`, `questions` and `instructions` are the request; the other fields mean the same as in a decisions request, or have no effect. */
const FIELDS = [
  'state',
  'questions',
  'instructions',
  'chat_template_kwargs',
  'cache_salt',
  'priority',
  'request_id',
  'seed',
  'adapter',
  'permutations',
  'return_prompt_token_ids',
];
const MOST_QUESTIONS = 64;

/** Answers a request to `/v1/systemone` by `decide`. Errors name its fields as the request does. */
export async function answerSystemOne(
  decide: (request: DecisionRequest) => Promise<Decision>,
  body: unknown,
  model: string,
): Promise<object> {
  const request = decisionsOf(body);
  try {
    return systemOneOf(await decide(request), model);
  } catch (error) {
    throw inFieldsOf(request, error);
  }
}

/** An error of `request` with the field of System One's request that the field stands for. */
function inFieldsOf({ questions }: DecisionRequest, error: unknown): unknown {
  if (!(error instanceof ChunkwiseError) || !error.detail.field) return error;
  const field = error.detail.field
    .replace(/^input\b.*/, 'state')
    .replace(/\.levels(\[\d+\])?.*/, '.criteria$1')
    .replace(/\.choices\b.*/, '.criteria')
    .replace(/^questions\[(\d+)\]/, (_, i: string) => `questions.${questions[Number(i)]?.name}`);
  return new ChunkwiseError(error.code, { ...error.detail, field }, { cause: error });
}

/**
 * Converts a request to `/v1/systemone`, as in vLLM (docs/serving/online_serving/structured_decisions.md), to a decisions
 * request whose questions are named by their ids. Throws `bad_request`, naming the field.
 */
export function decisionsOf(body: unknown): DecisionRequest {
  const fields = fieldsOf(body, 'request', FIELDS);
  const { questions, instructions, adapter, permutations, return_prompt_token_ids: returnsTokens } = fields;
  const asked = Object.entries(checkRecord(questions, 'questions'));
  if (asked.length === 0) refuse('questions', 'is empty');
  if (asked.length > MOST_QUESTIONS)
    refuse('questions', `has ${asked.length} entries; at most ${MOST_QUESTIONS} are allowed`);
  const system = optional(instructions, 'instructions', checkText);
  checkThinking(fields['chat_template_kwargs']);
  return {
    input: [
      ...(system ? [{ role: 'system' as const, content: system }] : []),
      { role: 'user', content: textOf(fields['state'], 'state') },
    ],
    questions: asked.map(([id, question]) => questionOf(id, question)),
    // The engine checks these.
    ...({ adapter, permutations, return_prompt_token_ids: returnsTokens } as Partial<DecisionRequest>),
  };
}

function checkThinking(value: unknown = {}): void {
  const { enable_thinking: thinks = false } = fieldsOf(value, 'chat_template_kwargs', ['enable_thinking']);
  if (thinks !== false)
    refuse('chat_template_kwargs.enable_thinking', 'must be false: the answer is read from its first token');
}

function questionOf(id: string, question: unknown): DecisionQuestion {
  if (id === '') refuse('questions', 'has a question without an id');
  const at = `questions.${id}`;
  const {
    type,
    instructions = '',
    criteria,
    adapter,
  } = fieldsOf(question, at, ['type', 'instructions', 'criteria', 'adapter']);
  const own = { name: id, instructions: textOf(instructions, `${at}.instructions`), adapter };
  const place = `${at}.criteria`;
  const described = (value: unknown): object => (value === null ? {} : { description: textOf(value, place) });
  if (type === 'noul') {
    const entries = Object.entries(fieldsOf(criteria ?? {}, place, ['true', 'false']));
    const told = Object.fromEntries(entries.map(([name, value]) => [name, textOf(value, place)]));
    return { type: 'predicate', ...own, criteria: told } as DecisionQuestion;
  }
  if (type === 'choice') {
    const choices = Object.entries(checkRecord(criteria, place)).map(([value, about]) => ({
      value,
      ...described(about),
    }));
    return { type, ...own, choices } as DecisionQuestion;
  }
  if (type !== 'score') refuse(`${at}.type`, `must be choice, noul or score, but is ${describe(type)}`);
  if (!Array.isArray(criteria)) refuse(place, `must be an array, but is ${describe(criteria)}`);
  const levels = Array.from(criteria as unknown[], (label) => ({ label: textOf(label, place) }));
  return { type, ...own, levels } as DecisionQuestion;
}

/** Returns a text as it is, and other values as JSON. */
function textOf(value: unknown, at: string): string {
  if (typeof value === 'string') return value;
  if (value === undefined) refuse(at, 'is missing');
  checkJson(value, at);
  return JSON.stringify(value);
}

/** Converts a decision to vLLM's shape, with answers by the ids of their questions. */
export function systemOneOf({ answers, usage, chunkwise }: Decision, model: string): object {
  const byId = <T>(of: (answer: DecisionAnswer) => T): Record<string, T> =>
    Object.fromEntries(answers.map((answer) => [answer.name ?? '', of(answer)]));
  return {
    id: `decision-${crypto.randomUUID()}`,
    object: 'structured_decision',
    created: Math.floor(Date.now() / 1000),
    model,
    answers: byId(answerOf),
    usage: {
      input_tokens: usage.input_tokens,
      output_tokens: usage.output_tokens,
      input_tokens_details: usage.input_tokens_details,
    },
    diagnostics: byId(({ label_mass, argmax_is_label, prompt_token_ids }) => ({
      label_mass,
      argmax_is_label,
      ...(prompt_token_ids && { prompt_token_ids }),
    })),
    chunkwise,
  };
}

function answerOf(answer: DecisionAnswer): object {
  if (answer.type === 'predicate') {
    const { probability: yes, label_mass: mass } = answer;
    const no = 1 - yes;
    return { type: 'noul', noul: yes, probabilities: { yes, no }, confidence: Math.max(yes, no) * mass };
  }
  if (answer.type === 'choice') {
    const { type, choice, confidence } = answer;
    const probabilities = Object.fromEntries(
      answer.probabilities.map((each): [string, number] => [String(each.value), each.probability]),
    );
    return { type, choice, probabilities, confidence };
  }
  if (answer.type === 'refusal') return { type: answer.type };
  const { type, score, confidence } = answer;
  const byLevel = (of: 'label' | 'probability'): object =>
    Object.fromEntries(answer.probabilities.map((level) => [level.value, level[of]]));
  return { type, score, legend: byLevel('label'), probabilities: byLevel('probability'), confidence };
}
