import type { ChatTurn } from '../../tokenizer/chat-template.ts';
import type { AdapterUse } from '../../engine/types.ts';
import {
  checkBoolean,
  checkInteger,
  checkList,
  checkNumber,
  describe,
  refuse,
  checkJson,
  checkFilled,
  checkPositive,
  checkText,
  fieldsOf,
  checkOneOf,
  checkFilledList,
  checkRecord,
} from '../checks.ts';
import { parseAdapters } from '../adapters.ts';
import { MOST_PERMUTATIONS, type Option, type Question } from './questions.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import { parseArguments } from '../chat/parse-chat.ts';

const MOST_QUESTIONS = 400;
/** Maximum number of readings: all questions in all orders. */
const MOST_READINGS = 1024;
const MOST_OPTIONS = 255;
const MOST_TEMPERATURE = 100;

const FIELDS = [
  'model',
  'input',
  'questions',
  'adapter',
  'permutations',
  'min_label_mass',
  'return_prompt_token_ids',
  'prompt_cache_key',
  'prompt_cache_options',
  'safety_identifier',
  'user',
];
const QUESTION_FIELDS = ['type', 'name', 'instructions', 'adapter', 'temperature'];
/** Field that holds the options of each type. */
const OPTIONS = { predicate: 'criteria', choice: 'choices', score: 'levels' } as const;

export interface ParsedDecisions {
  messages: ChatTurn[];
  questions: Question[];
  permutations: number;
  leastMass: number;
  returnsTokens: boolean;
}

/** Checks a request. Throws `bad_request`, naming the field; `unsupported` for images. */
export function parseDecisions(request: unknown): ParsedDecisions {
  const fields = fieldsOf(request, 'request', FIELDS);
  const questions = checkFilledList(fields['questions'], 'questions');
  if (questions.length > MOST_QUESTIONS)
    refuse('questions', `has ${questions.length} entries; at most ${MOST_QUESTIONS} are allowed`);
  const adapters = parseAdapters(fields['adapter']);
  const permutations = parsePermutations(fields['permutations']);
  if (questions.length * permutations > MOST_READINGS)
    refuse('permutations', `makes more than ${MOST_READINGS} readings of ${questions.length} questions`);
  const returnsTokens = checkBoolean(fields['return_prompt_token_ids'], 'return_prompt_token_ids');
  if (returnsTokens && permutations > 1) refuse('return_prompt_token_ids', 'is only allowed with one permutation');
  const { min_label_mass: leastMass = 0 } = fields;
  return {
    messages: parseInput(fields['input']),
    questions: questions.map((question, i) => parseQuestion(question, `questions[${i}]`, adapters)),
    permutations,
    leastMass: checkNumber(leastMass, 'min_label_mass', 0, 1),
    returnsTokens,
  };
}

export const parsePermutations = (value: unknown = 1): number =>
  checkInteger(value, 'permutations', 1, MOST_PERMUTATIONS);

/** `adapters`: default for a question without any. */
export function parseQuestion(question: unknown, at: string, adapters: readonly AdapterUse[]): Question {
  const { type } = checkRecord(question, at);
  if (type !== 'predicate' && type !== 'choice' && type !== 'score')
    refuse(`${at}.type`, `must be predicate, choice or score, but is ${describe(type)}`);
  const given = fieldsOf(question, at, [...QUESTION_FIELDS, OPTIONS[type]]);
  const { name = null, adapter, temperature } = given;
  const parse = { predicate: parseCriteria, choice: parseChoices, score: parseLevels }[type];
  const instructions = parseContent(given['instructions'], `${at}.instructions`);
  const options = parse(given[OPTIONS[type]], `${at}.${OPTIONS[type]}`);
  const isDescribed = options.some((option) => option.description !== undefined);
  if (instructions === '' && !isDescribed && type === 'predicate') refuse(`${at}.instructions`, 'is empty');
  return {
    type,
    name: name === null ? null : checkText(name, `${at}.name`),
    instructions,
    options,
    adapters: adapter === undefined ? adapters : parseAdapters(adapter, `${at}.adapter`),
    temperature:
      temperature === undefined ? undefined : checkPositive(temperature, `${at}.temperature`, MOST_TEMPERATURE),
  };
}

function parseCriteria(criteria: unknown = {}, at: string): Option[] {
  const described = fieldsOf(criteria, at, ['true', 'false']);
  return [true, false].map((value) => ({
    ...{ value, name: value ? 'yes' : 'no' },
    description: description(described[String(value)], `${at}.${value}`),
  }));
}

function parseChoices(choices: unknown, at: string): Option[] {
  const options = parseList(choices, at, 1).map((choice, i): Option => {
    const { value, ...rest } = fieldsOf(choice, `${at}[${i}]`, ['value', 'description']);
    if (typeof value !== 'string' && typeof value !== 'boolean')
      refuse(`${at}[${i}].value`, `must be a string, true or false, but is ${describe(value)}`);
    if (value === '') refuse(`${at}[${i}].value`, 'is empty');
    return { value, name: String(value), description: description(rest['description'], `${at}[${i}].description`) };
  });
  const seen = new Set<unknown>();
  for (const [i, { value }] of options.entries()) {
    if (seen.has(value)) refuse(`${at}[${i}].value`, `repeats ${describe(value)}`);
    seen.add(value);
  }
  return options;
}

const parseLevels = (levels: unknown, at: string): Option[] =>
  parseList(levels, at, 2).map((level, i) => {
    const { label, ...rest } = fieldsOf(level, `${at}[${i}]`, ['label', 'description']);
    return {
      value: i,
      name: checkFilled(label, `${at}[${i}].label`),
      description: description(rest['description'], `${at}[${i}].description`),
    };
  });

function parseList(value: unknown, at: string, least: number): unknown[] {
  const list = checkList(value, at);
  if (list.length >= least && list.length <= MOST_OPTIONS) return list;
  return refuse(at, `has ${list.length} entries; ${least} to ${MOST_OPTIONS} are allowed`);
}

/** Returns undefined for an absent or empty description. */
function description(value: unknown, at: string): string | undefined {
  const text = value === undefined ? '' : checkText(value, at);
  return text === '' ? undefined : text;
}

const ROLES = ['user', 'system', 'developer', 'assistant'] as const;

/** Converts the input to turns of a chat. Throws `bad_request`, naming the field; `unsupported` for images. */
export function parseInput(input: unknown): ChatTurn[] {
  if (typeof input === 'string') return [{ role: 'user', content: checkFilled(input, 'input') }];
  const items = checkFilledList(input, 'input', 'a string or an array');
  /** Kinds of the calls so far, by id. */
  const calls = new Map<string, 'function' | 'custom'>();
  return items.map((given, i) => {
    const at = `input[${i}]`;
    const item = checkRecord(given, at);
    const { type = 'message' } = item;
    if (type === 'message') return parseMessage(item, at);
    if (type === 'function_call' || type === 'custom_tool_call') return parseCall(item, at, calls);
    if (type === 'function_call_output' || type === 'custom_tool_call_output') return parseOutput(item, at, calls);
    return refuse(`${at}.type`, `must be the type of a message, a call or an output, but is ${describe(type)}`);
  });
}

function parseMessage({ role, content }: Record<string, unknown>, at: string): ChatTurn {
  const known = checkOneOf(ROLES, role, `${at}.role`);
  return { role: known === 'developer' ? 'system' : known, content: parseContent(content, `${at}.content`) };
}

function parseCall(item: Record<string, unknown>, at: string, calls: Map<string, 'function' | 'custom'>): ChatTurn {
  const id = checkFilled(item['call_id'], `${at}.call_id`);
  const name = checkFilled(item['name'], `${at}.name`);
  const isFunction = item['type'] === 'function_call';
  const given = isFunction
    ? parseArguments(item['arguments'], `${at}.arguments`)
    : { input: checkText(item['input'], `${at}.input`) };
  calls.set(id, isFunction ? 'function' : 'custom');
  return {
    role: 'assistant',
    content: '',
    tool_calls: [{ id, type: 'function', function: { name, arguments: given } }],
  };
}

function parseOutput(
  { type, call_id, output }: Record<string, unknown>,
  at: string,
  calls: ReadonlyMap<string, 'function' | 'custom'>,
): ChatTurn {
  const id = checkFilled(call_id, `${at}.call_id`);
  const kind = type === 'function_call_output' ? 'function' : 'custom';
  if (calls.get(id) !== kind) refuse(`${at}.call_id`, `must be the id of an earlier ${kind} call`);
  return { role: 'tool', content: parseContent(output, `${at}.output`), tool_call_id: id };
}

/** Returns a text, or its parts joined with an empty line between them. */
export function parseContent(content: unknown, at: string): string {
  if (typeof content === 'string') return content;
  const parts = checkList(content, at, 'a string or an array of parts').map((part, i) => {
    const place = `${at}[${i}]`;
    const { type, text, refusal, data } = checkRecord(part, place);
    if (type === 'input_text' || type === 'output_text') return checkText(text, `${place}.text`);
    if (type === 'refusal') return checkText(refusal, `${place}.refusal`);
    if (type === 'input_json') return jsonOf(data, `${place}.data`);
    if (type === 'input_image')
      throw new ChunkwiseError('unsupported', { field: place, reason: 'is an image; only text is supported' });
    return refuse(`${place}.type`, `must be input_text or input_json, but is ${describe(type)}`);
  });
  return parts.join('\n\n');
}

function jsonOf(data: unknown, at: string): string {
  if (typeof data !== 'object' || data === null) refuse(at, `must be an object or an array, but is ${describe(data)}`);
  checkJson(data, at);
  return JSON.stringify(data);
}
