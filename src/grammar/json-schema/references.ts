import { GrammarError } from '../limits.ts';

/** A schema resource: the whole document, or a part with an identifier. References in it are resolved from here. */
export interface Base {
  readonly schema: unknown;
  /** Absolute. */
  readonly uri: string;
  readonly at: string;
}

/** A document, and the schemas in it that can be referred to by name. */
export interface Document {
  readonly root: Base;
  /** Schema resources by their schema, without the root. */
  readonly bases: ReadonlyMap<object, Base>;
  /** Schema resources by absolute URI without fragment. */
  readonly byUri: ReadonlyMap<string, Base>;
  /** Schemas with an anchor, by absolute URI with the anchor as fragment. */
  readonly anchors: ReadonlyMap<string, Target>;
  /** Number of schemas with each `$dynamicAnchor`; `$recursiveAnchor` counts as the name ''. */
  readonly dynamicAnchors: ReadonlyMap<string, number>;
}

export interface Target {
  readonly schema: unknown;
  readonly base: Base;
  readonly at: string;
}

const NO_URI = 'schema:///';
/** Keywords whose values are not schemas. */
const VALUES = new Set(['enum', 'const', 'default', 'examples', 'example', 'required']);

/** Finds the identifiers and anchors of a document. `id` is an identifier only up to draft 4. */
export function openDocument(schema: unknown): Document {
  const $schema = isObject(schema) ? schema['$schema'] : undefined;
  const idKeyword = typeof $schema === 'string' && /draft-0[1-4]/.test($schema) ? 'id' : '$id';
  const rootId = isObject(schema) ? schema[idKeyword] : undefined;
  const root: Base = { schema, uri: typeof rootId === 'string' ? joined(rootId, NO_URI) : NO_URI, at: '' };
  const bases = new Map<object, Base>();
  const byUri = new Map<string, Base>([[withoutFragment(root.uri), root]]);
  const anchors = new Map<string, Target>();
  const dynamicAnchors = new Map<string, number>();
  const waiting: { value: object; base: Base; at: string; isNamed: boolean }[] = [];
  /** An object that stands in several places is visited only in the first. */
  const seen = new Set<object>();
  const add = (value: unknown, base: Base, at: string, isNamed: boolean): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return;
    seen.add(value);
    waiting.push({ value, base, at, isNamed });
  };
  add(schema, root, '', false);
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { value, at, isNamed } = next;
    let { base } = next;
    if (Array.isArray(value)) {
      value.forEach((item, i) => add(item, base, `${at}[${i}]`, false));
      continue;
    }
    const record = value as Record<string, unknown>;
    // A map of names to schemas has no keywords: a property may be called $id.
    if (!isNamed) {
      const id = record[idKeyword];
      if (typeof id === 'string' && value !== schema) {
        if (id.startsWith('#')) anchors.set(withoutFragment(base.uri) + id, { schema: value, base, at });
        else {
          base = { schema: value, uri: joined(id, base.uri), at };
          bases.set(value, base);
          if (!byUri.has(withoutFragment(base.uri))) byUri.set(withoutFragment(base.uri), base);
        }
      }
      for (const keyword of ['$anchor', '$dynamicAnchor']) {
        const name = record[keyword];
        if (typeof name !== 'string') continue;
        anchors.set(`${withoutFragment(base.uri)}#${name}`, { schema: value, base, at });
        if (keyword === '$dynamicAnchor') dynamicAnchors.set(name, (dynamicAnchors.get(name) ?? 0) + 1);
      }
      if (record['$recursiveAnchor'] === true) dynamicAnchors.set('', (dynamicAnchors.get('') ?? 0) + 1);
    }
    for (const [key, inner] of Object.entries(record)) {
      if (isNamed) add(inner, base, `${at}.${key}`, false);
      else if (!VALUES.has(key)) add(inner, base, placeIn(at, key), MAPS.has(key));
    }
  }
  return { root, bases, byUri, anchors, dynamicAnchors };
}

const MAPS = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependencies', 'dependentSchemas']);

export const placeIn = (at: string, key: string | number): string =>
  typeof key === 'number' ? `${at}[${key}]` : at === '' ? key : `${at}.${key}`;

/** The schema resource of a schema in `base`: its own, if it has an identifier, else `base`. */
export const baseWithin = (document: Document, schema: object, base: Base): Base => document.bases.get(schema) ?? base;

/** Resolves a reference that stands at `at`. Throws a `GrammarError` if its target is not in the document. */
export function resolveReference(document: Document, reference: string, base: Base, at: string): Target {
  const [location = '', fragment = ''] = split(reference);
  let target: Base | undefined = base;
  if (location !== '') target = document.byUri.get(withoutFragment(joined(location, base.uri)));
  if (!target) throw new GrammarError(`refers to '${reference}', which is not in this schema`, at);
  if (fragment === '' || fragment === '/') {
    if (fragment === '' || !isObject(target.schema) || !('' in target.schema))
      return { schema: target.schema, base: target, at: target.at };
  }
  const found = fragment.startsWith('/')
    ? (pointed(document, fragment, target) ??
      // A validator would fail here: the pointer is meant from the document's root.
      (location === '' ? pointed(document, fragment, document.root) : undefined))
    : document.anchors.get(`${withoutFragment(target.uri)}#${decoded(fragment)}`);
  if (!found) throw new GrammarError(`refers to '${reference}', which is not in this schema`, at);
  return found;
}

function pointed(document: Document, pointer: string, from: Base): Target | undefined {
  let { schema, at } = from;
  let base = from;
  for (const part of pointer.slice(1).split('/')) {
    const unescaped = (text: string): string => text.replaceAll('~1', '/').replaceAll('~0', '~');
    const name = [unescaped(decoded(part)), unescaped(part)].find(
      (each) => typeof schema === 'object' && schema !== null && Object.hasOwn(schema, each),
    );
    if (name === undefined) return undefined;
    at = Array.isArray(schema) ? placeIn(at, Number(name)) : placeIn(at, name);
    schema = (schema as Record<string, unknown>)[name];
    if (isObject(schema)) base = baseWithin(document, schema, base);
  }
  return { schema, base, at };
}

function split(reference: string): [location: string, fragment: string] {
  const hash = reference.indexOf('#');
  return hash < 0 ? [reference, ''] : [reference.slice(0, hash), reference.slice(hash + 1)];
}

const withoutFragment = (uri: string): string => split(uri)[0];

function joined(uri: string, base: string): string {
  try {
    return new URL(uri, base).href;
  } catch {
    return uri;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
