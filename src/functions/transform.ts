import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { describe, FILE_NESTING, isNestedDeeper, isRecord } from '../util/values.ts';
import type { Category, FunctionConfig, InputPath, SentencePlace, Transformation } from './function-config.ts';
import { isPlaced, parsePlaces, type PlacedJson } from './json-places.ts';
import { pythonJson, type Sentence } from './rewrite.ts';

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

/** A token of the answer, with the likeliest tokens at its place. */
export interface AnswerToken {
  token: string;
  logprob: number;
  top_logprobs: readonly { token: string; logprob: number }[];
  /** Units that it takes of the answer, which differ from its own if it is part of a character. Default: its own length. */
  length?: number;
}

/** The model's answer, and what its transformations need. */
export interface ModelAnswer {
  content: string;
  /** Tokens of `content`, for `likelihood`. */
  tokens: readonly AnswerToken[] | undefined;
  sentencesOf: (places: readonly SentencePlace[]) => Sentence[];
}

/** Most values in a result: `explode` can multiply them with each step. */
const MOST_VALUES = 200_000;

/**
 * Turns a model's answer into a function's result, as granite-common's `IntrinsicsResultProcessor` does (mellea's where they
 * differ). Throws `bad_file`, naming the transformation, if the answer does not fit it: the schema in the function's file then
 * allows what its transformations cannot read.
 */
export function transform(config: FunctionConfig, answer: ModelAnswer): Json {
  const { file } = config;
  const { content, tokens } = (config.readsFinalChannel && finalChannel(answer.tokens)) || answer;
  const fail = (field: string, reason: string): never => {
    throw new ChunkwiseError('bad_file', { file, field, reason });
  };
  let result: Json;
  try {
    result = JSON.parse(content) as Json;
  } catch {
    return fail('response_format', `allows an answer that is not JSON: ${describe(content)}`);
  }
  if (isNestedDeeper(result, FILE_NESTING))
    return fail('response_format', `allows an answer that is nested more than ${FILE_NESTING} deep`);
  const places = parsePlaces(content);
  config.transformations.forEach((step, i) => {
    const field = `transformations[${i}]`;
    const refuse = (reason: string): never => fail(field, `${step.type}: ${reason}`);
    const paths = matchingPaths(result, step.path, refuse);
    const change = changeOf(step, { places, tokens, sentencesOf: answer.sentencesOf }, refuse);
    result = copied(result);
    for (const path of paths) result = change(result, path);
    let left = MOST_VALUES;
    if (!isWithin(result, () => --left >= 0)) refuse(`makes more than ${MOST_VALUES} values`);
  });
  return result;
}

type Refuse = (reason: string) => never;
type Path = readonly (string | number)[];

/** Whether `spend` allows each value. */
const isWithin = (value: Json, spend: () => boolean): boolean =>
  spend() &&
  (typeof value !== 'object' || value === null || Object.values(value).every((inner) => isWithin(inner, spend)));

/** A copy that shares nothing with the value, nor within itself: records that `explode` made share their other fields. */
function copied(value: Json): Json {
  if (Array.isArray(value)) return value.map(copied);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value as Record<string, Json>).map(([name, inner]) => [name, copied(inner)]),
  );
}

/** The paths of all values that a pattern matches. */
function matchingPaths(value: Json, pattern: InputPath, refuse: Refuse): Path[] {
  const found: Path[] = [];
  const visit = (at: Json, path: Path): void => {
    const step = pattern[path.length];
    if (step === undefined) {
      if (found.push(path) > MOST_VALUES) refuse(`has more than ${MOST_VALUES} places`);
    } else if (Array.isArray(at)) {
      if (typeof step === 'number' && step < at.length) visit(at[step] as Json, [...path, step]);
      if (step === null) at.forEach((inner, i) => visit(inner, [...path, i]));
    } else if (isRecord(at)) {
      if (typeof step === 'string' && Object.hasOwn(at, step)) visit(at[step] as Json, [...path, step]);
      if (step === null) for (const [name, inner] of Object.entries(at)) visit(inner, [...path, name]);
    }
  };
  visit(value, []);
  return found;
}

interface Needs extends Pick<ModelAnswer, 'tokens' | 'sentencesOf'> {
  places: PlacedJson;
}

/** The change that a transformation makes at a path of the result. */
function changeOf(step: Transformation, needs: Needs, refuse: Refuse): (result: Json, path: Path) => Json {
  const inPlace =
    (change: (value: Json, path: Path) => Json) =>
    (result: Json, path: Path): Json =>
      replaced(result, path, (value) => change(value, path));
  switch (step.type) {
    case 'likelihood':
      return inPlace(likelihood(step.values, needs, refuse));
    case 'decode_sentences': {
      const sentences = needs.sentencesOf(step.sources);
      return (result, path) =>
        replaced(result, path.slice(0, -1), (parent) => withSentence(parent, path, step.names, sentences, refuse));
    }
    case 'explode':
      return inPlace((value) => exploded(value, step.field, refuse));
    case 'drop_duplicates':
      return inPlace((value) => distinct(value, step.fields, refuse));
    case 'project':
      return inPlace((value) => projected(value, step.fields, refuse));
    case 'nest':
      return inPlace((value) => ({ [step.field]: value }));
    case 'merge_spans':
      return inPlace((value) => merged(value, step, refuse));
  }
}

/** Changes one part of `value` in place; the part must exist. */
function replaced(value: Json, [step, ...rest]: Path, change: (part: Json) => Json): Json {
  if (step === undefined) return change(value);
  const parts = value as Record<string | number, Json>;
  const part = replaced(parts[step] as Json, rest, change);
  // Assigning `__proto__` would set the prototype.
  Object.defineProperty(parts, step, { value: part, enumerable: true, configurable: true, writable: true });
  return value;
}

/** Expected value of a category, by the probabilities of the token that begins it and of the tokens that could stand there. */
function likelihood(
  values: ReadonlyMap<Category, number>,
  { places, tokens }: Needs,
  refuse: Refuse,
): (value: Json, path: Path) => number {
  if (tokens === undefined) return refuse('needs the log-probabilities of the answer');
  const starts = new Map<number, number>();
  let length = 0;
  tokens.forEach(({ token, length: own = token.length }, i) => {
    starts.set(length, i);
    length += own;
  });
  return (value, path) => {
    const placed = path.reduce<PlacedJson | undefined>(
      (at, step) => (at instanceof Map ? at.get(step as string) : Array.isArray(at) ? at[step as number] : undefined),
      places,
    );
    if (!isPlaced(placed) || placed.value === null || placed.value !== value)
      return refuse(`the value at ${pythonJson(path)} is not one that the model wrote`);
    // A string's quote tells nothing about the category.
    const begin = placed.begin + (typeof placed.value === 'string' ? 1 : 0);
    const first = tokens[starts.get(begin) ?? -1];
    if (first === undefined) {
      let before = begin;
      while (before > 0 && !starts.has(before)) before--;
      const known = values.get(placed.value);
      const token = tokens[starts.get(before) ?? -1];
      // A token that ends with the whole value: how likely others were is not known.
      if (token?.token.endsWith(pythonJson(placed.value)) && known !== undefined) return known;
      return refuse(`no token begins at the value ${pythonJson(placed.value)}`);
    }
    const own = values.get(placed.value);
    const chances: [value: number, weight: number][] = own === undefined ? [] : [[own, Math.exp(first.logprob)]];
    for (const { token, logprob } of first.top_logprobs) {
      if (token === first.token) continue;
      const match = [...values].find(([category]) => pythonText(category).startsWith(token));
      if (match) chances.push([match[1], Math.exp(logprob)]);
    }
    if (chances.length === 0) return 0;
    const total = chances.reduce((sum, [, weight]) => sum + weight, 0);
    if (!(total > 0)) return refuse('every category has the probability 0');
    return chances.reduce((sum, [each, weight]) => sum + (weight / total) * each, 0);
  };
}

/** A category as Python's `str` writes it. */
const pythonText = (category: Category): string =>
  typeof category === 'boolean' ? (category ? 'True' : 'False') : String(category);

function withSentence(
  parent: Json,
  path: Path,
  names: Extract<Transformation, { type: 'decode_sentences' }>['names'],
  sentences: readonly Sentence[],
  refuse: Refuse,
): Json {
  const name = path.at(-1);
  if (!isRecord(parent) || typeof name !== 'string') return refuse(`${pythonJson(path)} is not a field of a record`);
  const number = parent[name];
  if (typeof number !== 'number' || !Number.isInteger(number))
    return refuse(`the sentence number at ${pythonJson(path)} is ${describe(number)}`);
  const sentence = sentences[number];
  if (!sentence) return refuse(`the model named sentence ${number}; there are ${sentences.length}, counted from 0`);
  const found = Object.entries(names).map(([field, as]) => [as, sentence[field as keyof Sentence]] as const);
  return { ...(parent as Record<string, Json>), ...Object.fromEntries(found) };
}

/** The records of a list. */
function recordsOf(value: Json, refuse: Refuse): Record<string, Json>[] {
  if (!Array.isArray(value)) return refuse(`needs a list, not ${describe(value)}`);
  return value.map((record, i) =>
    isRecord(record)
      ? (record as Record<string, Json>)
      : refuse(`needs records, but entry ${i} is ${describe(record)}`),
  );
}

/** Replaces each record by one for each value of its list in `field`. */
function exploded(value: Json, field: string, refuse: Refuse): Json {
  let count = 0;
  return recordsOf(value, refuse).flatMap((record) => {
    const list = Object.hasOwn(record, field) ? record[field] : undefined;
    if (!Array.isArray(list)) return refuse(`needs a list in ${describe(field)}, not ${describe(list)}`);
    if ((count += list.length) > MOST_VALUES) refuse(`makes more than ${MOST_VALUES} records`);
    return list.map((each) => ({ ...record, [field]: each }));
  });
}

/** Keeps the last of the records that have the same values in `fields`, in the place of the first. */
function distinct(value: Json, fields: readonly string[], refuse: Refuse): Json {
  const found = new Map<string, Json>();
  for (const record of recordsOf(value, refuse)) {
    const key = fields.map((field) =>
      Object.hasOwn(record, field)
        ? scalar(record[field] as Json, refuse)
        : refuse(`a record has no ${describe(field)}`),
    );
    found.set(JSON.stringify(key), record);
  }
  return [...found.values()];
}

/** A value to compare; as in Python, true equals 1 and false 0. */
function scalar(value: Json, refuse: Refuse): string | number | null {
  if (typeof value === 'boolean') return Number(value);
  return typeof value === 'object' && value !== null ? refuse('compares values, not lists or records') : value;
}

function projected(value: Json, fields: readonly (readonly [from: string, to: string])[], refuse: Refuse): Json {
  const one = (record: Record<string, Json>): Json =>
    Object.fromEntries(
      fields.map(([from, to]) => [to, Object.hasOwn(record, from) ? (record[from] as Json) : null] as const),
    );
  return isRecord(value) ? one(value) : recordsOf(value, refuse).map(one);
}

/** Joins spans that follow each other without a gap, within each group. */
function merged(
  value: Json,
  { groups, begin, end, text }: Extract<Transformation, { type: 'merge_spans' }>,
  refuse: Refuse,
): Json {
  const known = [...groups, begin, end, ...(text === undefined ? [] : [text])];
  const spans = recordsOf(value, refuse).map((record) => {
    const unknown = Object.keys(record).find((name) => !known.includes(name));
    if (unknown !== undefined) refuse(`a span has the field ${describe(unknown)} too`);
    const own = (name: string): Json => (Object.hasOwn(record, name) ? (record[name] as Json) : null);
    const missing = known.slice(groups.length).find((name) => own(name) === null);
    if (missing !== undefined) refuse(`a span has no ${describe(missing)}`);
    return { record, key: [...groups, begin].map((name) => scalar(own(name), refuse)) };
  });
  spans.sort((a, b) => compareKeys(a.key, b.key, refuse));
  const joined: Record<string, Json>[] = [];
  spans.forEach(({ record, key }, i) => {
    const before = spans[i - 1];
    const last = joined.at(-1);
    const isSameGroup = before !== undefined && compareKeys(before.key.slice(0, -1), key.slice(0, -1), refuse) === 0;
    if (isSameGroup && before.key.at(-1) === key.at(-1)) refuse(`two spans begin at ${describe(record[begin])}`);
    if (!isSameGroup || !last || last[end] !== record[begin]) {
      joined.push({ ...record });
      return;
    }
    last[end] = record[end] as Json;
    if (text === undefined) return;
    const [first, second] = [last[text], record[text]];
    if (typeof first !== 'string' || typeof second !== 'string') refuse(`a span's ${describe(text)} is not a text`);
    last[text] = `${first}${second}`;
  });
  return joined;
}

type Key = readonly (string | number | null)[];

/** Compares as Python compares tuples; texts by their characters' numbers. */
function compareKeys(a: Key, b: Key, refuse: Refuse): number {
  for (const [i, left] of a.entries()) {
    const right = b[i] as string | number | null;
    if (left === right) continue;
    if (typeof left !== typeof right || left === null || right === null)
      return refuse(`cannot sort ${describe(left)} and ${describe(right)}`);
    if (typeof left === 'number') return left - (right as number);
    return compareTexts(left, right as string);
  }
  return 0;
}

function compareTexts(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (const [i, character] of left.entries()) {
    const other = right[i];
    if (other === undefined) return 1;
    if (character !== other) return (character.codePointAt(0) as number) - (other.codePointAt(0) as number);
  }
  return left.length - right.length;
}

/** Tokens that end a channel. */
const CHANNEL_ENDS = ['<|end|>', '<|return|>', '<|end_of_text|>'];

/** Text and tokens of the last final channel in OpenAI's harmony format; undefined if there is none. */
function finalChannel(tokens: readonly AnswerToken[] = []): Pick<ModelAnswer, 'content' | 'tokens'> | undefined {
  const words = tokens.map(({ token }, i) => ({ i, text: token.trim(), token }));
  const solid = words.filter(({ text }) => text !== '');
  const header = solid.findLastIndex(
    ({ token }, i) =>
      token === '<|channel|>' && solid[i + 1]?.text === 'final' && solid[i + 2]?.token === '<|message|>',
  );
  if (header < 0) return undefined;
  const start = (solid[header + 2]?.i ?? 0) + 1;
  const end = tokens.findIndex(({ token }, i) => i >= start && CHANNEL_ENDS.includes(token));
  const own = tokens.slice(start, end < 0 ? undefined : end);
  return own.length === 0 ? undefined : { content: own.map(({ token }) => token).join(''), tokens: own };
}
