import { badSchema } from './bad-schema.ts';

export type Schema = Readonly<Record<string, unknown>>;

export const TYPES = ['object', 'array', 'string', 'integer', 'number', 'boolean', 'null'] as const;
export type JsonType = (typeof TYPES)[number];

/** What a schema says of values of a type. */
const OF_TYPE: Record<JsonType, readonly string[]> = {
  object: ['properties', 'required', 'additionalProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  boolean: [],
  null: [],
};

/** What says all there is to say of a value; beside it nothing else may. */
const WHOLE = { $ref: [], const: ['type'], enum: ['type'], anyOf: [], oneOf: [], allOf: [] } as const;
export type Whole = keyof typeof WHOLE;

/** What says nothing of values. */
const ANNOTATIONS = [
  ...['$schema', '$id', '$comment', '$defs', 'definitions', 'title', 'description', 'default', 'examples'],
  ...['deprecated', 'readOnly', 'writeOnly'],
];

export function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The keyword that says all of a schema's values, if one does. */
export const wholeOf = (schema: Schema): Whole | undefined =>
  (Object.keys(WHOLE) as Whole[]).find((keyword) => keyword in schema);

/** The same. Refuses what it would hide, and what no grammar says. */
export function wholeKeyword(schema: Schema, at: string): Whole | undefined {
  const whole = wholeOf(schema);
  if (whole) refuseOthers(schema, [whole, ...WHOLE[whole]], at, ` beside ${whole}`);
  return whole;
}

/** The types that its values may have; undefined: any. Refuses keywords of others, and what no grammar says. */
export function typesOf(schema: Schema, at: string): readonly JsonType[] | undefined {
  const { type } = schema;
  let types: readonly JsonType[];
  if (type === undefined) {
    // Keywords of a type hold for its values alone: other values are allowed too, but hardly what is meant.
    types = TYPES.filter((known) => known !== 'integer' && OF_TYPE[known].some((keyword) => keyword in schema));
  } else {
    const named: unknown[] = Array.isArray(type) ? type : [type];
    types = named.map(
      (name) => TYPES.find((known) => known === name) ?? badSchema(`${at}.type`, `must be of ${TYPES.join(', ')}`),
    );
    if (types.length === 0) badSchema(`${at}.type`, 'is empty');
  }
  refuseOthers(schema, ['type', ...types.flatMap((known) => OF_TYPE[known])], at, '');
  return types.length === 0 ? undefined : types;
}

function refuseOthers(schema: Schema, known: readonly string[], at: string, where: string): void {
  for (const keyword of Object.keys(schema)) {
    if (!known.includes(keyword) && !ANNOTATIONS.includes(keyword))
      badSchema(`${at}.${keyword}`, `is not supported${where}`);
  }
}

/** A whole number that is not negative, or `missing`. */
export function countOf(schema: Schema, keyword: string, at: string, missing: number): number {
  const value = schema[keyword];
  if (value === undefined) return missing;
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  return badSchema(`${at}.${keyword}`, 'must be a whole number, and not negative');
}

/** A number, or undefined. */
export function boundOf(schema: Schema, keyword: string, at: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
  return badSchema(`${at}.${keyword}`, 'must be a number');
}

export function hasType(value: unknown, type: JsonType): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isSchema(value);
  return type === 'integer' ? Number.isInteger(value) : typeof value === type;
}
