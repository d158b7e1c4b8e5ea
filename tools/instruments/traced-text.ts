import { textHash } from '../../src/gpu/kernel.ts';

/** A place in a kernel's text that reads or writes a storage binding. */
export interface AccessSite {
  /** The binding's name. */
  binding: string;
  /** The function that contains it. */
  within: string;
  kind: 'load' | 'store' | 'update';
  /** Bytes from one element to the next; the access takes `bytes` of them from `offset` on. */
  stride: number;
  offset: number;
  bytes: number;
  /** Whether elements are atomic. */
  isAtomic: boolean;
}

export interface TracedText {
  code: string;
  sites: readonly AccessSite[];
  /** Access of the bindings, in order. */
  access: readonly ('read' | 'read_write')[];
}

/** Bytes of an element of a binding's array, and of its components. */
const ELEMENT = /^(?:(vec[234])(?:<(\w+)>|([fuih]))|atomic<(\w+)>|(\w+))$/;
const SCALAR_BYTES: Readonly<Record<string, number>> = { f32: 4, u32: 4, i32: 4, f: 4, u: 4, i: 4, f16: 2, h: 2 };
const COMPONENTS = ['x', 'y', 'z', 'w'];

const DECLARED =
  /@group\(0\)\s*@binding\((\d+)\)\s*var<storage(?:,\s*(read|read_write))?>\s*(\w+)\s*:\s*array<(.+?)>\s*;/g;
const ENTRY = /@workgroup_size\(([^)]*)\)\s*fn\s+main\s*\(([^{]*)\)\s*\{/;

/** Text that replaces the index of an access. */
type Rewrite = (site: AccessSite, place: number, index: string) => string;

/** Group 2 of a traced kernel: its position in the grid, and the addresses. The entries of a lane are in order. */
const TRACE = `
struct TraceOf { group: vec3u, groups: vec3u }
struct Trace { count: atomic<u32>, width: u32, entries: array<vec2u> }
@group(2) @binding(0) var<uniform> trace_of: TraceOf;
@group(2) @binding(1) var<storage, read_write> trace: Trace;
var<private> trace_lane: u32;
fn traced(site: u32, index: u32) -> u32 {
  let at = atomicAdd(&trace.count, 1u);
  if (at < arrayLength(&trace.entries)) { trace.entries[at] = vec2u(trace_lane | (site << 12u), index); }
  return index;
}
`;

/**
 * A kernel's text that records every access of a storage binding in a buffer. It runs as one workgroup, with the position
 * that the uniform gives. Throws for an access of a binding other than by its name and an index.
 */
export function tracedText(text: string): TracedText {
  const { code, ...traced } = rewritten(text, (_, place, index) => `traced(${place}u, u32(${index}))`);
  const lines = [
    'trace_lane = trace_index;',
    'trace.width = trace_size.x * trace_size.y * trace_size.z;',
    'let trace_place = trace_of.group;',
    'let trace_grid = trace_of.groups;',
  ];
  return { ...traced, code: withEntry(code, TRACE, [], lines) };
}

/** Group 2 of a kernel that detects stores of several invocations to one element: the invocation that last stored each element. */
const OWNERS = `
struct StoreOwners { count: atomic<u32>, beyond: atomic<u32>, found: array<vec2u, 30>, owners: array<atomic<u32>> }
@group(2) @binding(0) var<uniform> store_dispatch: u32;
@group(2) @binding(1) var<storage, read_write> store_owners: StoreOwners;
var<private> store_invocation: u32;
var<private> store_width: u32;
// Barriers that the invocation has passed; they order a workgroup's stores.
var<private> store_epoch: u32;
fn stored(binding: u32, site: u32, index: u32) -> u32 {
  if (index >= STORE_REGION) { atomicAdd(&store_owners.beyond, 1u); return index; }
  let own = (store_dispatch << 20u) | ((store_epoch & 3u) << 18u) | (store_invocation & 0x3ffffu);
  let before = atomicExchange(&store_owners.owners[binding * STORE_REGION + index], own);
  let other = before & 0x3ffffu;
  let is_ordered = other / store_width == (own & 0x3ffffu) / store_width && ((before ^ own) >> 18u) != 0u;
  if ((before >> 20u) == store_dispatch && other != (own & 0x3ffffu) && !is_ordered) {
    let at = atomicAdd(&store_owners.count, 1u);
    if (at < 30u) { store_owners.found[at] = vec2u(STORE_TEXT, site); }
  }
  return index;
}
`;

/** Elements of a binding with a recorded owner, and words before the first binding's owners. */
export const STORE_REGION = 1 << 20;
export const STORE_HEAD = 62;

/**
 * A kernel's text that records in group 2 which invocation stores to which element of its bindings, except atomic ones. It
 * counts two stores of one dispatch to the same element, unless a barrier of their workgroup separates them. `hash`: of the
 * text, which it records with a site's number; so equal texts stay equal, and are compiled once.
 */
export function ownedText(text: string): Pick<TracedText, 'code' | 'sites'> & { hash: number } {
  const hash = parseInt(textHash(text), 16);
  const names = [...text.matchAll(/@binding\((\d+)\)\s*var<storage, read_write>\s*(\w+)/g)];
  const places = new Map(names.map(([, place, name]) => [name, place]));
  const { code, sites } = rewritten(text, ({ kind, isAtomic, binding }, place, index) =>
    kind === 'load' || isAtomic ? index : `stored(${places.get(binding)}u, ${place}u, u32(${index}))`,
  );
  const grid = ['@builtin(workgroup_id) trace_place: vec3u', '@builtin(num_workgroups) trace_grid: vec3u'];
  const lines = [
    'let trace_linear = trace_place.x + trace_grid.x * (trace_place.y + trace_grid.y * trace_place.z);',
    'store_width = trace_size.x * trace_size.y * trace_size.z;',
    'store_invocation = trace_linear * store_width + trace_index;',
  ];
  const counted = code.replaceAll(/storageBarrier\(\);/g, '$& store_epoch++;');
  const constants = `const STORE_REGION = ${STORE_REGION}u; const STORE_TEXT = ${hash}u;`;
  return { sites, hash, code: withEntry(counted, `${constants}${OWNERS}`, grid, lines) };
}

function rewritten(text: string, rewrite: Rewrite): TracedText {
  const code = text.replaceAll(/\/\/.*$/gm, '');
  const bindings = [...code.matchAll(DECLARED)].map(([, place, access = 'read', name = '', element = '']) => ({
    place: Number(place),
    access: access as 'read',
    name,
    element,
  }));
  const declared = [...code.matchAll(/var<storage/g)].length;
  if (bindings.length !== declared) throw new Error('a binding is not an array');
  const elements = new Map(bindings.map(({ name, element }) => [name, elementOf(element, code)]));
  const sites: AccessSite[] = [];
  const functions = code.split(/^(?=fn |@compute)/m).map((part) => {
    const within = /fn (\w+)/.exec(part)?.[1] ?? '';
    return traceAccesses(part, { within, elements, sites, rewrite });
  });
  return {
    code: functions.join(''),
    sites,
    access: bindings.sort((a, b) => a.place - b.place).map(({ access }) => access),
  };
}

interface Element {
  /** Bytes. */
  stride: number;
  /** Bytes of a component of a vector; of a whole struct. */
  component: number;
  isAtomic: boolean;
}

/** Bytes of a scalar, a vector, or a struct of scalars. */
function elementOf(type: string, code: string): Element {
  const members = new RegExp(`struct ${type}\\s*\\{([^}]*)\\}`).exec(code)?.[1];
  if (members !== undefined) {
    const stride = [...members.matchAll(/:\s*(\w+)/g)].reduce(
      (sum, [, member = '']) => sum + elementOf(member, '').stride,
      0,
    );
    return { stride, component: stride, isAtomic: false };
  }
  const [, vector, generic, suffix, atomic, scalar] = ELEMENT.exec(type.replaceAll(' ', '')) ?? [];
  const component = SCALAR_BYTES[generic ?? suffix ?? atomic ?? scalar ?? ''];
  if (component === undefined) throw new Error(`elements of type ${type}`);
  const stride = component * ({ vec2: 2, vec3: 4, vec4: 4 }[vector ?? ''] ?? 1);
  return { component, stride, isAtomic: atomic !== undefined };
}

interface Tracing {
  within: string;
  elements: ReadonlyMap<string, Element>;
  sites: AccessSite[];
  rewrite: Rewrite;
}

function traceAccesses(text: string, tracing: Tracing): string {
  const { within, elements, sites, rewrite } = tracing;
  const name = new RegExp(`(?<![.\\w])(${[...elements.keys()].join('|')})\\b`, 'g');
  let traced = '';
  let from = 0;
  for (let found = name.exec(text); found; found = name.exec(text)) {
    const binding = found[1] ?? '';
    const before = text.slice(0, found.index);
    const open = name.lastIndex + (/^\s*/.exec(text.slice(name.lastIndex))?.[0].length ?? 0);
    if (text[open] !== '[') {
      const isDeclared =
        /(var<storage[^;]*>|let|var|const)\s+$/.test(before) || /^\s*:/.test(text.slice(name.lastIndex));
      if (!isDeclared && /&\s*$/.test(before) && !/arrayLength\(\s*&\s*$/.test(before))
        throw new Error(`${within}: a pointer to all of ${binding}`);
      continue;
    }
    if (new RegExp(`\\b(let|var|const)\\s+${binding}\\b|[(,]\\s*${binding}\\s*:`).test(text))
      throw new Error(`${within}: ${binding} is a binding's name and another's`);
    const end = closing(text, open);
    const { stride, component, isAtomic } = elements.get(binding) as Element;
    const after = text.slice(end);
    const lane = stride > component ? COMPONENTS.indexOf(/^\.([xyzw])\b/.exec(after)?.[1] ?? '') : -1;
    const part = lane < 0 ? { offset: 0, bytes: stride } : { offset: lane * component, bytes: component };
    const index = traceAccesses(text.slice(open + 1, end - 1), tracing);
    const site = { binding, within, kind: kindOf(before, after), stride, ...part, isAtomic };
    traced += `${text.slice(from, open)}[${rewrite(site, sites.push(site) - 1, index)}]`;
    from = end;
    name.lastIndex = end;
  }
  return traced + text.slice(from);
}

function kindOf(before: string, after: string): AccessSite['kind'] {
  if (/&\s*$/.test(before)) {
    if (!/atomic\w+\(\s*&\s*$/.test(before)) throw new Error('a pointer to an element');
    return 'update';
  }
  const assigned = /^(?:\.\w+|\[[^\]]*\])*\s*([-+*/%&|^]?)=(?!=)/.exec(after);
  if (!assigned) return 'load';
  return assigned[1] === '' ? 'store' : 'update';
}

/** The index after the bracket that closes the one at `open`. */
function closing(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === '[') depth++;
    if (text[at] === ']' && --depth === 0) return at + 1;
  }
  throw new Error('a bracket is not closed');
}

/** Values of an entry point's builtins: the uniform gives the position in the grid. */
const PRETENDED: Readonly<Record<string, string>> = {
  workgroup_id: 'trace_place',
  num_workgroups: 'trace_grid',
  global_invocation_id: 'trace_place * trace_size + trace_local',
};

/** A text with a `prelude`, whose entry point takes `builtins` and begins with the lines `own`. */
function withEntry(code: string, prelude: string, builtins: readonly string[], own: readonly string[]): string {
  const enables = [...code.matchAll(/^(?:enable|requires|diagnostic)\b.*;$/gm)].map(([line]) => line);
  const body = code.replaceAll(/^(?:enable|requires|diagnostic)\b.*;$/gm, '');
  const entry = ENTRY.exec(body);
  if (!entry) throw new Error('no entry point');
  const [header, size = '', given = ''] = entry;
  const sizes = [...size.split(',').filter((one) => one.trim() !== ''), '1', '1']
    .slice(0, 3)
    .map((one) => `u32(${one.trim()})`);
  const kept: string[] = [
    ...builtins,
    '@builtin(local_invocation_id) trace_local: vec3u',
    '@builtin(local_invocation_index) trace_index: u32',
  ];
  const lines = [`let trace_size = vec3u(${sizes.join()});`, ...own];
  for (const [whole, builtin = '', name = ''] of given.matchAll(/@builtin\((\w+)\)\s*(\w+)\s*:\s*[\w<>]+/g)) {
    const pretended = { ...PRETENDED, local_invocation_id: 'trace_local', local_invocation_index: 'trace_index' }[
      builtin
    ];
    if (pretended === undefined) kept.push(whole);
    else lines.push(`let ${name} = ${pretended};`);
  }
  const traced = body.replace(
    header,
    () => `@workgroup_size(${size}) fn main(${kept.join(', ')}) {\n${lines.join('\n')}\n`,
  );
  return [...enables, prelude, traced].join('\n');
}
