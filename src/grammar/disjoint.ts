import { type Schema, isSchema, TYPES, hasType } from './schema-keywords.ts';

/**
 * Whether no value can be of two of these schemas, as far as types tell, or a property that each of them requires to be
 * one of a few values.
 */
export function areDisjoint(branches: readonly Schema[]): boolean {
  if (areApart(branches, kindsOf)) return true;
  const names = Object.keys(propertiesOf(branches[0] ?? {}));
  return names.some((name) => areApart(branches, (branch) => tagsOf(branch, name)));
}

/** Whether no two of them share a value that `valuesIn` gives; where it gives none, all may be shared. */
function areApart(branches: readonly Schema[], valuesIn: (branch: Schema) => readonly string[] | undefined): boolean {
  const seen = new Set<string>();
  return branches.every((branch) => {
    const own = valuesIn(branch);
    if (own === undefined || own.some((value) => seen.has(value))) return false;
    own.forEach((value) => seen.add(value));
    return true;
  });
}

function kindsOf(schema: Schema): readonly string[] | undefined {
  const { type } = schema;
  const values = valuesOf(schema);
  if (values) return values.map((value) => TYPES.find((known) => hasType(value, known)) ?? '').map(asKind);
  if (type === undefined) return undefined;
  const types: unknown[] = Array.isArray(type) ? type : [type];
  return types.every((one) => typeof one === 'string') ? types.map(asKind) : undefined;
}

const asKind = (type: string): string => (type === 'integer' ? 'number' : type);

function tagsOf(branch: Schema, name: string): readonly string[] | undefined {
  const { required, type = 'object' } = branch;
  if ((Array.isArray(type) ? type : [type]).some((each) => each !== 'object')) return undefined;
  if (!Array.isArray(required) || !required.includes(name)) return undefined;
  const property = propertiesOf(branch)[name];
  const values = isSchema(property) ? valuesOf(property) : undefined;
  // Objects are equal whatever the order of their members.
  return values?.some((value) => typeof value === 'object' && value !== null)
    ? undefined
    : values?.map((value) => JSON.stringify(value));
}

function valuesOf(schema: Schema): readonly unknown[] | undefined {
  if ('const' in schema) return [schema['const']];
  return Array.isArray(schema['enum']) ? (schema['enum'] as unknown[]) : undefined;
}

const propertiesOf = ({ properties }: Schema): Schema => (isSchema(properties) ? properties : {});
