import type { ChatTurn } from '../../tokenizer/chat-template.ts';
import type { AdapterUse } from '../../engine/types.ts';
import { isRecord } from '../../config/is-record.ts';
import { checkBoolean, checkInteger, checkList, checkNumber, describe, refuse } from '../checks.ts';
import { parseAdapters } from '../requests.ts';
import { parseContent, parseInput, textOf } from './parse-input.ts';
import { MOST_PERMUTATIONS, type Option, type Question } from './questions.ts';

const MOST_QUESTIONS = 400;
/** Of all questions, in all their orders. */
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
/** Of each type, where its options stand. */
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
  const fields = knownFields(request, 'request', FIELDS);
  const questions = checkList(fields['questions'], 'questions');
  if (questions.length === 0) refuse('questions', 'is empty');
  if (questions.length > MOST_QUESTIONS)
    refuse('questions', `has ${questions.length} entries; at most ${MOST_QUESTIONS} are allowed`);
  const adapters = parseAdapters(fields['adapter']);
  const permutations = parsePermutations(fields['permutations']);
  if (questions.length * permutations > MOST_READINGS)
    refuse('permutations', `of ${questions.length} questions are more than ${MOST_READINGS} readings`);
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

/** `adapters`: of one that names none. */
export function parseQuestion(question: unknown, at: string, adapters: readonly AdapterUse[]): Question {
  if (!isRecord(question)) refuse(at, `must be an object, but is ${describe(question)}`);
  const { type } = question;
  if (type !== 'predicate' && type !== 'choice' && type !== 'score')
    refuse(`${at}.type`, `must be predicate, choice or score, but is ${describe(type)}`);
  const given = knownFields(question, at, [...QUESTION_FIELDS, OPTIONS[type]]);
  const { name = null, adapter, temperature } = given;
  const parse = { predicate: parseCriteria, choice: parseChoices, score: parseLevels }[type];
  const instructions = parseContent(given['instructions'], `${at}.instructions`);
  const isDescribed = type === 'predicate' && given['criteria'] !== undefined;
  if (instructions === '' && !isDescribed && type === 'predicate') refuse(`${at}.instructions`, 'is empty');
  return {
    type,
    name: name === null ? null : textOf(name, `${at}.name`, true),
    instructions,
    options: parse(given[OPTIONS[type]], `${at}.${OPTIONS[type]}`),
    adapters: adapter === undefined ? adapters : parseAdapters(adapter, `${at}.adapter`),
    temperature: temperature === undefined ? undefined : parseTemperature(temperature, `${at}.temperature`),
  };
}

function parseTemperature(value: unknown, at: string): number {
  const temperature = checkNumber(value, at, 0, MOST_TEMPERATURE);
  return temperature === 0 ? refuse(at, 'must be above 0') : temperature;
}

function parseCriteria(criteria: unknown = {}, at: string): Option[] {
  const described = knownFields(criteria, at, ['true', 'false']);
  return [true, false].map((value) => ({
    ...{ value, name: value ? 'yes' : 'no' },
    description: description(described[String(value)], `${at}.${value}`),
  }));
}

function parseChoices(choices: unknown, at: string): Option[] {
  const options = parseList(choices, at, 1).map((choice, i): Option => {
    const { value, ...rest } = knownFields(choice, `${at}[${i}]`, ['value', 'description']);
    if (typeof value !== 'string' && typeof value !== 'boolean')
      refuse(`${at}[${i}].value`, `must be a string, true or false, but is ${describe(value)}`);
    if (value === '') refuse(`${at}[${i}].value`, 'is empty');
    return { value, name: String(value), description: description(rest['description'], `${at}[${i}].description`) };
  });
  const seen = new Set<unknown>();
  for (const [i, { value }] of options.entries()) {
    if (seen.has(value)) refuse(`${at}[${i}].value`, `${describe(value)} is there already`);
    seen.add(value);
  }
  return options;
}

const parseLevels = (levels: unknown, at: string): Option[] =>
  parseList(levels, at, 2).map((level, i) => {
    const { label, ...rest } = knownFields(level, `${at}[${i}]`, ['label', 'description']);
    return {
      value: i,
      name: textOf(label, `${at}[${i}].label`),
      description: description(rest['description'], `${at}[${i}].description`),
    };
  });

function parseList(value: unknown, at: string, least: number): unknown[] {
  const list = checkList(value, at);
  if (list.length >= least && list.length <= MOST_OPTIONS) return list;
  return refuse(at, `has ${list.length} entries; ${least} to ${MOST_OPTIONS} are allowed`);
}

/** Undefined where there is none. */
function description(value: unknown, at: string): string | undefined {
  const text = value === undefined ? '' : textOf(value, at, true);
  return text === '' ? undefined : text;
}

/** An object's fields but for those that are null, which is as good as absent. */
export function knownFields(value: unknown, at: string, known: readonly string[]): Record<string, unknown> {
  if (!isRecord(value)) refuse(at, `must be an object, but is ${describe(value)}`);
  const fields = Object.entries(value).filter(([, own]) => own !== undefined && own !== null);
  for (const [name] of fields) {
    if (!known.includes(name)) refuse(at === 'request' ? name : `${at}.${name}`, 'is not a field of this request');
  }
  return Object.fromEntries(fields);
}
