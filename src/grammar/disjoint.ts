import { type Schema, isSchema, TYPES, hasType } from './schema-keywords.ts';

/**
 * Whether no value can be of two of these schemas, as far as types tell, or a property that each of them requires to be
 * one of a few values.
 */
export function areDisjoint(branches: readonly Schema[]): boolean {
  if (areApart(branches.map(kindsOf))) return true;
  const names = Object.keys(propertiesOf(branches[0] ?? {}));
  return names.some((name) => areApart(branches.map((branch) => tagsOf(branch, name))));
}

/** Sets of which no two share anything; an unknown one may share all. */
function areApart(sets: readonly (readonly string[] | undefined)[]): boolean {
  const all = sets.flatMap((set) => [...new Set(set ?? ['', ''])]);
  return sets.every((set) => set !== undefined) && new Set(all).size === all.length;
}

function kindsOf(schema: Schema): readonly string[] | undefined {
  const { type } = schema;
  const values = valuesOf(schema);
  if (values) return values.map((value) => TYPES.find((known) => hasType(value, known)) ?? '').map(asKind);
  if (type === undefined) return undefined;
  return (Array.isArray(type) ? type : [type]).map(String).map(asKind);
}

const asKind = (type: string): string => (type === 'integer' ? 'number' : type);

function tagsOf(branch: Schema, name: string): readonly string[] | undefined {
  const { required } = branch;
  if (!Array.isArray(required) || !required.includes(name)) return undefined;
  const property = propertiesOf(branch)[name];
  return isSchema(property) ? valuesOf(property)?.map((value) => JSON.stringify(value)) : undefined;
}

function valuesOf(schema: Schema): readonly unknown[] | undefined {
  if ('const' in schema) return [schema['const']];
  return Array.isArray(schema['enum']) ? (schema['enum'] as unknown[]) : undefined;
}

const propertiesOf = ({ properties }: Schema): Schema => (isSchema(properties) ? properties : {});
