import { parseDocument, type ScalarTag, type Tags } from 'yaml';
import { ChunkwiseError, type ErrorCode } from '../errors/chunkwise-error.ts';
import { describe, FILE_NESTING, isNestedDeeper, isRecord } from '../util/values.ts';
import { parseInstruction, type InstructionPart } from './instruction.ts';

/** A function's io.yaml or function.yaml: how to ask the model, and how to read its answer. */
export interface FunctionConfig {
  /** Name in errors. */
  file: string;
  /** JSON schema of the model's answer; undefined: any text, which must be JSON. */
  schema: Readonly<Record<string, unknown>> | boolean | undefined;
  transformations: readonly Transformation[];
  /** Text of a user message that ends the conversation. */
  instruction: readonly InstructionPart[] | undefined;
  /** Fields of the request, such as `temperature`. */
  parameters: Readonly<Record<string, unknown>>;
  /** Fields of the request's `extra_body`. */
  extraParameters: Readonly<Record<string, unknown>>;
  /** Prefix of the tags that number the sentences of each place: `c` gives `<c0>`. */
  sentenceTags: Readonly<Partial<Record<SentencePlace, string>>>;
  /** How documents become messages; undefined: they stay documents. */
  documentsAs: DocumentForm | undefined;
  /** Reads the answer from the tokens of the final channel, for models that answer in channels (gpt-oss). */
  readsFinalChannel: boolean;
}

export const SENTENCE_PLACES = ['last_message', 'documents', 'all_but_last_message'] as const;
export type SentencePlace = (typeof SENTENCE_PLACES)[number];

const DOCUMENT_FORMS = ['string', 'json', 'roles'] as const;
export type DocumentForm = (typeof DOCUMENT_FORMS)[number];

/** Place of values within an answer: names, indices, and null for any. */
export type InputPath = readonly (string | number | null)[];

/** A value of an enumeration in the answer. */
export type Category = string | number | boolean;

/** Fields of the answer that a sentence becomes. */
export const SENTENCE_FIELDS = ['begin', 'end', 'text', 'document_id', 'message_index'] as const;
export type SentenceField = (typeof SENTENCE_FIELDS)[number];

/** A step from the model's answer to the function's result. */
export type Transformation = { path: InputPath } & (
  | { type: 'likelihood'; values: ReadonlyMap<Category, number> }
  | {
      type: 'decode_sentences';
      sources: readonly SentencePlace[];
      names: Readonly<Partial<Record<SentenceField, string>>>;
    }
  | { type: 'explode'; field: string }
  | { type: 'drop_duplicates'; fields: readonly string[] }
  | { type: 'project'; fields: readonly (readonly [from: string, to: string])[] }
  | { type: 'nest'; field: string }
  | {
      type: 'merge_spans';
      groups: readonly string[];
      begin: string;
      end: string;
      text: string | undefined;
    }
);

/** Longest file, in characters; known ones have less than 4,000. */
const MOST_CHARACTERS = 64 * 1024;
/** Most uses of YAML's anchors: an alias of an alias grows exponentially. */
const MOST_ALIASES = 20;
const MOST_TRANSFORMATIONS = 32;
const MOST_CATEGORIES = 256;
/** Longest tag prefix; each sentence gets one. */
const MOST_PREFIX = 32;

const FIELDS = [
  ...['name', 'model', 'response_format', 'transformations', 'instruction', 'parameters'],
  ...['sentence_boundaries', 'docs_as_message', 'logprobs_workaround'],
];
const REQUIRED = ['model', 'response_format', 'transformations'];
/** Parameters that a function may set. Others would change what the caller asked for. */
const PARAMETERS = [
  ...['max_tokens', 'max_completion_tokens', 'temperature', 'top_p', 'top_k', 'min_p', 'seed', 'stop'],
  ...['repetition_penalty', 'presence_penalty', 'frequency_penalty'],
];
const EXTRA_PARAMETERS = ['top_k', 'min_p', 'repetition_penalty'];

/**
 * Parses io.yaml (YAML 1.1, with the fields of granite-common 0.4 and mellea 0.8). Throws `bad_file`, naming the field;
 * `unsupported` for a field, a transformation or a parameter that is not known here.
 */
export function readFunctionConfig(text: string, file: string): FunctionConfig {
  const fail: Fail = (field, reason, code = 'bad_file') => {
    throw new ChunkwiseError(code, { file, ...(field !== '' && { field }), reason });
  };
  const fields = new Fields(parseYaml(text, fail), '', fail);
  const missing = REQUIRED.find((name) => !fields.has(name));
  if (missing !== undefined) fail(missing, 'is missing; without a value it must be null');
  fields.refuseUnknown(FIELDS);
  fields.optionalText('name');
  fields.optionalText('model');
  const tags = readTags(fields);
  const documentsAs = fields.optionalOneOf('docs_as_message', DOCUMENT_FORMS);
  const parameters = fields.optionalFields('parameters');
  parameters?.refuseUnknown([...PARAMETERS, 'extra_body'], 'is not a parameter that a function may set');
  const extra = parameters?.optionalFields('extra_body');
  extra?.refuseUnknown(EXTRA_PARAMETERS, 'is not a parameter that a function may set');
  const own = Object.entries(parameters?.plain() ?? {}).filter(([name]) => name !== 'extra_body');
  const instruction = fields.optionalText('instruction');
  if (instruction === '') fail('instruction', 'is empty');
  return {
    file,
    schema: readSchema(fields, fail),
    transformations: fields
      .list('transformations', MOST_TRANSFORMATIONS)
      .map((value, i) => readTransformation(new Fields(value, `transformations[${i}]`, fail), tags, documentsAs)),
    instruction:
      instruction === undefined ? undefined : parseInstruction(instruction, (why) => fail('instruction', why)),
    parameters: Object.fromEntries(own),
    extraParameters: extra?.plain() ?? {},
    sentenceTags: tags,
    documentsAs,
    readsFinalChannel: isTrueLike(fields.get('logprobs_workaround')),
  };
}

/** Python's truth of a YAML value. */
const isTrueLike = (value: unknown): boolean => Boolean(value) && !(value instanceof Map && value.size === 0);

type Fail = (field: string, reason: string, code?: ErrorCode) => never;

function parseYaml(text: string, fail: Fail): unknown {
  if (text.length > MOST_CHARACTERS)
    fail('', `has ${text.length} characters; at most ${MOST_CHARACTERS} are allowed for a function`);
  let value: unknown;
  try {
    const document = parseDocument(text, { version: '1.1', customTags: asInPython, prettyErrors: false });
    const [error] = document.errors;
    if (error) throw error;
    value = document.toJS({ mapAsMap: true, maxAliasCount: MOST_ALIASES });
  } catch (error) {
    // The parser recurses, so deep nesting ends in a RangeError.
    fail('', `is not YAML: ${error instanceof Error ? error.message.slice(0, 200) : String(error)}`);
  }
  if (isNestedDeeper(asArrays(value), FILE_NESTING)) fail('', `is nested more than ${FILE_NESTING} deep`);
  return value;
}

/** PyYAML reads these words as truths, but not the letters y and n, which YAML 1.1 has too. */
const TRUTHS: readonly [value: boolean, words: RegExp][] = [
  [true, /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/],
  [false, /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/],
];

const asInPython = (tags: Tags): Tags => [
  ...TRUTHS.map(([value, test]): ScalarTag => ({ tag: BOOL, default: true, test, resolve: () => value })),
  ...tags.filter((tag) => typeof tag !== 'object' || tag.tag !== BOOL),
];
const BOOL = 'tag:yaml.org,2002:bool';

/** Maps as arrays, so that `isNestedDeeper` sees into them. */
function asArrays(value: unknown): unknown {
  if (value instanceof Map) return [...value].flat().map(asArrays);
  return Array.isArray(value) ? value.map(asArrays) : value;
}

/** The answer's schema: the text of a JSON value, or the value itself. */
function readSchema(fields: Fields, fail: Fail): FunctionConfig['schema'] {
  const given = fields.get('response_format');
  if (given === null || given === undefined) return undefined;
  let schema: unknown = plainValue(given, 'response_format', fail);
  if (typeof schema === 'string') {
    try {
      schema = JSON.parse(schema);
    } catch (error) {
      fail('response_format', `is not JSON: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (isNestedDeeper(schema, FILE_NESTING)) fail('response_format', `is nested more than ${FILE_NESTING} deep`);
  if (isRecord(schema) || typeof schema === 'boolean') return schema;
  return fail('response_format', `must be a JSON schema, but is ${describe(schema)}`);
}

function readTags(fields: Fields): FunctionConfig['sentenceTags'] {
  const tags = fields.optionalFields('sentence_boundaries');
  tags?.refuseUnknown(SENTENCE_PLACES, 'is not a place whose sentences are numbered');
  const found = SENTENCE_PLACES.filter((place) => tags?.has(place)).map((place) => {
    const prefix = tags?.text(place) ?? '';
    if (prefix.length > MOST_PREFIX) tags?.fail(place, `has more than ${MOST_PREFIX} characters`);
    return [place, prefix] as const;
  });
  return Object.fromEntries(found);
}

function readTransformation(
  fields: Fields,
  tags: FunctionConfig['sentenceTags'],
  documentsAs: DocumentForm | undefined,
): Transformation {
  const type = fields.text('type');
  if (!Object.hasOwn(OWN_FIELDS, type)) {
    fields.fail('type', `${describe(type)} is not one of ${Object.keys(OWN_FIELDS).join(', ')}`, 'unsupported');
  }
  fields.refuseUnknown(['type', 'input_path', ...(OWN_FIELDS[type as Transformation['type']] ?? [])]);
  const path = fields.list('input_path', FILE_NESTING).map((step, i) => {
    if (step === null || typeof step === 'string' || (Number.isInteger(step) && (step as number) >= 0))
      return step as string | number | null;
    return fields.fail(`input_path[${i}]`, `must be a name, an index or null, but is ${describe(step)}`);
  });
  switch (type as Transformation['type']) {
    case 'likelihood':
      return { type: 'likelihood', path, values: readCategories(fields) };
    case 'decode_sentences':
      return { type: 'decode_sentences', path, ...readSentences(fields, tags, documentsAs) };
    case 'explode':
      return { type: 'explode', path, field: fields.text('target_field') };
    case 'drop_duplicates':
      return { type: 'drop_duplicates', path, fields: fields.texts('target_fields') };
    case 'project':
      return { type: 'project', path, fields: readRetained(fields) };
    case 'nest':
      return { type: 'nest', path, field: fields.text('field_name') };
    case 'merge_spans':
      return {
        type: 'merge_spans',
        path,
        groups: fields.texts('group_fields'),
        begin: fields.text('begin_field'),
        end: fields.text('end_field'),
        text: fields.optionalText('text_field'),
      };
  }
}

const OWN_FIELDS: Readonly<Record<Transformation['type'], readonly string[]>> = {
  likelihood: ['categories_to_values'],
  decode_sentences: ['source', 'output_names'],
  explode: ['target_field'],
  drop_duplicates: ['target_fields'],
  project: ['retained_fields'],
  nest: ['field_name'],
  merge_spans: ['group_fields', 'begin_field', 'end_field', 'text_field'],
};

function readCategories(fields: Fields): Map<Category, number> {
  const given = fields.get('categories_to_values');
  if (!(given instanceof Map))
    return fields.fail('categories_to_values', `must map categories to numbers, but is ${describe(given)}`);
  if (given.size > MOST_CATEGORIES)
    fields.fail('categories_to_values', `has ${given.size} categories; at most ${MOST_CATEGORIES} are allowed`);
  return new Map(
    [...(given as Map<unknown, unknown>)].map(([category, value]) => {
      const at = 'categories_to_values';
      if (typeof category !== 'string' && typeof category !== 'number' && typeof category !== 'boolean')
        fields.fail(at, `has the category ${describe(category)}, which no answer has`);
      if (typeof value !== 'number' || !Number.isFinite(value))
        fields.fail(`${at}.${String(category).slice(0, 40)}`, `must be a number, but is ${describe(value)}`);
      return [category, value];
    }),
  );
}

function readSentences(
  fields: Fields,
  tags: FunctionConfig['sentenceTags'],
  documentsAs: DocumentForm | undefined,
): Pick<Extract<Transformation, { type: 'decode_sentences' }>, 'sources' | 'names'> {
  const given = fields.get('source');
  const sources = (Array.isArray(given) ? fields.texts('source') : [fields.text('source')]).map((source) => {
    const place = SENTENCE_PLACES.find((one) => one === source);
    if (!place) fields.fail('source', `${describe(source)} is not one of ${SENTENCE_PLACES.join(', ')}`);
    if (!tags[place]) fields.fail('source', `${place} has no tag in sentence_boundaries`);
    return place;
  });
  if (sources.length > SENTENCE_PLACES.length) fields.fail('source', 'names a place twice');
  if (documentsAs === 'string') fields.fail('type', 'cannot be used with docs_as_message: string', 'unsupported');
  const names = fields.optionalFields('output_names') ?? fields.fail('output_names', 'is missing');
  names.refuseUnknown([
    ...['begin', 'end', 'text'],
    ...(sources.includes('documents') ? ['document_id'] : []),
    ...(sources.includes('all_but_last_message') ? ['message_index'] : []),
  ]);
  const found = SENTENCE_FIELDS.filter((name) => names.get(name) !== undefined && names.get(name) !== null);
  return { sources, names: Object.fromEntries(found.map((name) => [name, names.text(name)])) };
}

/** Fields to keep, with their new names. */
function readRetained(fields: Fields): [from: string, to: string][] {
  if (Array.isArray(fields.get('retained_fields'))) return fields.texts('retained_fields').map((name) => [name, name]);
  const names = fields.optionalFields('retained_fields') ?? fields.fail('retained_fields', 'is missing');
  return names.names().map((name) => [name, names.text(name)]);
}

/** Typed access to the fields of a YAML mapping. */
class Fields {
  readonly #values: ReadonlyMap<unknown, unknown>;

  constructor(
    value: unknown,
    private readonly at: string,
    private readonly failAt: Fail,
  ) {
    this.#values =
      value instanceof Map ? value : failAt(at, `must be a mapping of fields, but is ${describe(value ?? null)}`);
  }

  fail(name: string, reason: string, code?: ErrorCode): never {
    return this.failAt(this.#place(name), reason, code);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  get(name: string): unknown {
    return this.#values.get(name);
  }

  names(): string[] {
    return [...this.#values.keys()].map((key) =>
      typeof key === 'string' ? key : this.failAt(this.at, `has a field ${describe(key)}; fields have names`),
    );
  }

  refuseUnknown(known: readonly string[], reason = 'is not a field known to this version'): void {
    for (const name of this.names()) if (!known.includes(name)) this.fail(name.slice(0, 80), reason, 'unsupported');
  }

  text(name: string): string {
    const value = this.get(name);
    return typeof value === 'string' ? value : this.fail(name, `must be a text, but is ${describe(value)}`);
  }

  optionalText(name: string): string | undefined {
    return this.#isAbsent(name) ? undefined : this.text(name);
  }

  optionalOneOf<T extends string>(name: string, known: readonly T[]): T | undefined {
    if (this.#isAbsent(name)) return undefined;
    const found = known.find((one) => one === this.get(name));
    return found ?? this.fail(name, `must be one of ${known.join(', ')}, but is ${describe(this.get(name))}`);
  }

  /** An absent list is empty. */
  list(name: string, most: number): unknown[] {
    const value = this.get(name) ?? (name === 'input_path' ? undefined : []);
    if (!Array.isArray(value)) return this.fail(name, `must be a list, but is ${describe(value)}`);
    if (value.length > most) this.fail(name, `has ${value.length} entries; at most ${most} are allowed`);
    return value as unknown[];
  }

  texts(name: string): string[] {
    const value = this.get(name);
    if (!Array.isArray(value) || value.length > MOST_CATEGORIES)
      return this.fail(name, `must be a list of at most ${MOST_CATEGORIES} names, but is ${describe(value)}`);
    return value.map((each: unknown, i) =>
      typeof each === 'string' ? each : this.fail(`${name}[${i}]`, `must be a text, but is ${describe(each)}`),
    );
  }

  optionalFields(name: string): Fields | undefined {
    return this.#isAbsent(name) ? undefined : new Fields(this.get(name), this.#place(name), this.failAt);
  }

  /** All fields as a JSON object. */
  plain(): Record<string, unknown> {
    return plainValue(this.#values, this.at, this.failAt) as Record<string, unknown>;
  }

  #isAbsent(name: string): boolean {
    return this.get(name) === undefined || this.get(name) === null;
  }

  #place(name: string): string {
    return this.at === '' ? name : `${this.at}.${name}`;
  }
}

/** A YAML value as JSON: mappings become objects. Dates, binary data and names that are no text are refused. */
function plainValue(value: unknown, at: string, fail: Fail): unknown {
  if (value instanceof Map) {
    return Object.fromEntries(
      [...(value as Map<unknown, unknown>)].map(([key, inner]) => {
        if (typeof key !== 'string') fail(at, `has a field ${describe(key)}; fields have names`);
        return [key, plainValue(inner, `${at}.${key.slice(0, 80)}`, fail)];
      }),
    );
  }
  if (Array.isArray(value)) return value.map((inner, i) => plainValue(inner, `${at}[${i}]`, fail));
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  return fail(at, `is ${describe(value)}, which JSON does not have`);
}
