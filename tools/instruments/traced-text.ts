/** A place in a kernel's text that reads or writes a storage binding. */
export interface AccessSite {
  /** The binding's name. */
  binding: string;
  /** The function that it stands in. */
  within: string;
  kind: 'load' | 'store' | 'update';
  /** Bytes from one element to the next, and of these the ones that are accessed: `bytes` from `offset` on. */
  stride: number;
  offset: number;
  bytes: number;
}

export interface TracedText {
  code: string;
  sites: readonly AccessSite[];
  /** Of the bindings, in order. */
  access: readonly ('read' | 'read_write')[];
}

/** Bytes of an element of a binding's array, and of its components. */
const ELEMENT = /^(?:(vec[234])(?:<(\w+)>|([fuih]))|atomic<(\w+)>|(\w+))$/;
const SCALAR_BYTES: Readonly<Record<string, number>> = { f32: 4, u32: 4, i32: 4, f: 4, u: 4, i: 4, f16: 2, h: 2 };
const COMPONENTS = ['x', 'y', 'z', 'w'];

const DECLARED =
  /@group\(0\)\s*@binding\((\d+)\)\s*var<storage(?:,\s*(read|read_write))?>\s*(\w+)\s*:\s*array<(.+?)>\s*;/g;
const ENTRY = /@workgroup_size\(([^)]*)\)\s*fn\s+main\s*\(([^{]*)\)\s*\{/;

/** What a traced kernel runs as: group 2, and where the addresses go. A lane's entries are in its order. */
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
 * A kernel's text with every access of a storage binding noted in a buffer: as one workgroup, which takes itself for the
 * one that the uniform names. Errors: what reaches a binding other than by its name and an index.
 */
export function tracedText(text: string): TracedText {
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
    return traceAccesses(part, { within, elements, sites });
  });
  return {
    code: withTracedEntry(functions.join('')),
    sites,
    access: bindings.sort((a, b) => a.place - b.place).map(({ access }) => access),
  };
}

interface Element {
  /** Bytes. */
  stride: number;
  /** Of what a vector is made of; of a struct all. */
  component: number;
}

/** Of a scalar, a vector, or a struct of scalars. */
function elementOf(type: string, code: string): Element {
  const members = new RegExp(`struct ${type}\\s*\\{([^}]*)\\}`).exec(code)?.[1];
  if (members !== undefined) {
    const stride = [...members.matchAll(/:\s*(\w+)/g)].reduce(
      (sum, [, member = '']) => sum + elementOf(member, '').stride,
      0,
    );
    return { stride, component: stride };
  }
  const [, vector, generic, suffix, atomic, scalar] = ELEMENT.exec(type.replaceAll(' ', '')) ?? [];
  const component = SCALAR_BYTES[generic ?? suffix ?? atomic ?? scalar ?? ''];
  if (component === undefined) throw new Error(`elements of type ${type}`);
  return { component, stride: component * ({ vec2: 2, vec3: 4, vec4: 4 }[vector ?? ''] ?? 1) };
}

interface Tracing {
  within: string;
  elements: ReadonlyMap<string, Element>;
  sites: AccessSite[];
}

function traceAccesses(text: string, tracing: Tracing): string {
  const { within, elements, sites } = tracing;
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
    const { stride, component } = elements.get(binding) ?? { stride: 4, component: 4 };
    const after = text.slice(end);
    const lane = stride > component ? COMPONENTS.indexOf(/^\.([xyzw])\b/.exec(after)?.[1] ?? '') : -1;
    const part = lane < 0 ? { offset: 0, bytes: stride } : { offset: lane * component, bytes: component };
    const index = traceAccesses(text.slice(open + 1, end - 1), tracing);
    const site = sites.push({ binding, within, kind: kindOf(before, after), stride, ...part }) - 1;
    traced += `${text.slice(from, open)}[traced(${site}u, u32(${index}))]`;
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

/** Behind the bracket that closes the one at `open`. */
function closing(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === '[') depth++;
    if (text[at] === ']' && --depth === 0) return at + 1;
  }
  throw new Error('a bracket is not closed');
}

/** What an entry point is given, by its builtin: where in the grid it is told by the uniform. */
const PRETENDED: Readonly<Record<string, string>> = {
  workgroup_id: 'trace_of.group',
  num_workgroups: 'trace_of.groups',
  global_invocation_id: 'trace_of.group * trace_size + trace_local',
};

function withTracedEntry(code: string): string {
  const enables = [...code.matchAll(/^(?:enable|requires|diagnostic)\b.*;$/gm)].map(([line]) => line);
  const body = code.replaceAll(/^(?:enable|requires|diagnostic)\b.*;$/gm, '');
  const entry = ENTRY.exec(body);
  if (!entry) throw new Error('no entry point');
  const [header, size = '', given = ''] = entry;
  const sizes = [...size.split(',').filter((one) => one.trim() !== ''), '1', '1']
    .slice(0, 3)
    .map((one) => `u32(${one.trim()})`);
  const kept: string[] = [
    '@builtin(local_invocation_id) trace_local: vec3u',
    '@builtin(local_invocation_index) trace_index: u32',
  ];
  const lines = [
    `let trace_size = vec3u(${sizes.join()});`,
    'trace_lane = trace_index;',
    'trace.width = trace_size.x * trace_size.y * trace_size.z;',
  ];
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
  return [...enables, TRACE, traced].join('\n');
}
