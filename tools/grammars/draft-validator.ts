import { Ajv, type Options, type ValidateFunction } from 'ajv';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { fullFormats } from 'ajv-formats/dist/formats.js';
import { isRecord } from '../../src/util/values.ts';

/** Keywords whose value is a schema, schemas by name, or a list of schemas. */
const ONE = [
  'additionalItems',
  'additionalProperties',
  'contains',
  'items',
  'not',
  'propertyNames',
  'if',
  'then',
  'else',
];
const BY_NAME = ['definitions', '$defs', 'dependencies', 'patternProperties', 'properties'];
const LISTS = ['allOf', 'anyOf', 'items', 'oneOf'];

/**
 * Ajv's validator of a schema for the draft in `$schema`, by default 2020-12. Draft 4, which Ajv no longer reads, is
 * converted to draft 7 first. Throws Ajv's error if the schema does not compile.
 */
export function validatorOf(schema: object): ValidateFunction {
  const draft = (schema as Record<string, unknown>)['$schema'];
  const name = typeof draft === 'string' ? draft : '';
  const isOld = /draft-0[3467]\/schema/.test(name);
  const options: Options = {
    ...{ strict: false, allErrors: true, validateSchema: false, logger: false, formats: fullFormats },
    // The schema's own id, and duplicate ids, are irrelevant here.
    ...{ addUsedSchema: false, multipleOfPrecision: 9 },
  };
  const open = (unicodeRegExp: boolean): ValidateFunction => {
    const Of = isOld ? Ajv : name.includes('2019-09') ? Ajv2019 : Ajv2020;
    const ajv = new Of({ ...options, unicodeRegExp });
    return ajv.compile(isOld ? asDraft7(schema, name.includes('draft-04')) : schema);
  };
  try {
    return open(true);
  } catch (error) {
    // A pattern that is invalid with the flag u may be valid without it.
    if (/Invalid regular expression/.test(String(error))) return open(false);
    throw error;
  }
}

/** A schema of drafts 4 to 7 with the keywords of draft 7, without a name of its draft. */
function asDraft7(schema: unknown, isDraft4: boolean): object {
  const convert = (value: unknown): unknown => {
    if (!isRecord(value)) return value;
    const result: Record<string, unknown> = { ...value };
    delete result['$schema'];
    // Draft 7 and earlier drafts ignore keywords beside a reference.
    if (typeof value['$ref'] === 'string')
      for (const key of Object.keys(result))
        if (!['$ref', '$id', 'id', ...BY_NAME.slice(0, 2)].includes(key)) delete result[key];
    for (const key of ONE) if (isRecord(result[key])) result[key] = convert(result[key]);
    for (const key of LISTS) if (Array.isArray(result[key])) result[key] = (result[key] as unknown[]).map(convert);
    for (const key of BY_NAME)
      if (isRecord(result[key]))
        result[key] = Object.fromEntries(Object.entries(result[key]).map(([name, member]) => [name, convert(member)]));
    if (!isDraft4) return result;
    if (typeof result['id'] === 'string') {
      result['$id'] = result['id'];
      delete result['id'];
    }
    for (const [exclusive, bound] of [
      ['exclusiveMinimum', 'minimum'],
      ['exclusiveMaximum', 'maximum'],
    ] as const) {
      if (result[exclusive] === true && typeof result[bound] === 'number') {
        result[exclusive] = result[bound];
        delete result[bound];
      } else if (typeof result[exclusive] === 'boolean') delete result[exclusive];
    }
    return result;
  };
  return convert(schema) as object;
}
