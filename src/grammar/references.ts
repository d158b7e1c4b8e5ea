import { badSchema } from './bad-schema.ts';
import { isSchema, type Schema } from './schema-keywords.ts';

/** A definition that begins with itself would never take a character. */
export function refuseCircles(beginsWith: ReadonlyMap<string, readonly { absolute: string; at: string }[]>): void {
  const state = new Map<string, 'open' | 'done'>();
  const follow = (definition: string): void => {
    state.set(definition, 'open');
    for (const { absolute, at } of beginsWith.get(definition) ?? []) {
      if (state.get(absolute) === 'open') badSchema(at, 'comes back to itself');
      if (!state.has(absolute)) follow(absolute);
    }
    state.set(definition, 'done');
  };
  for (const definition of beginsWith.keys()) if (!state.has(definition)) follow(definition);
}

/** The schema that a pointer (RFC 6901, as a fragment of a URI) names in `base`. */
export function resolve(pointer: string, base: unknown, at: string): unknown {
  let target = base;
  for (const part of pointer.split('/').slice(1)) {
    const inside: unknown = Array.isArray(target) || isSchema(target) ? (target as Schema) : {};
    const names = [part, unescaped(part)].map((text) => text.replaceAll('~1', '/').replaceAll('~0', '~'));
    const name = names.find((each) => Object.hasOwn(inside as object, each));
    if (name === undefined) badSchema(at, `${pointer} is not in the schema`);
    target = (inside as Schema)[name];
  }
  return target;
}

/** A part of a URI's fragment; as it stands where its escapes are none. */
function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** As errors name it. */
export const placeOf = (pointer: string): string => pointer.slice(1).replaceAll('/', '.');
