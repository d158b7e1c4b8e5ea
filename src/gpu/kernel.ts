/** A pipeline-time constant: numbers become u32, booleans bool, `{ f32 }` f32. */
export type Constant = number | boolean | { f32: number };

export interface Binding {
  name: string;
  /** WGSL type, e.g. `array<vec4f>`. */
  type: string;
  access: 'read' | 'read_write';
}

/** A binding `array<element>` that a kernel only reads. */
export const reads = (name: string, element: string): Binding => ({ name, type: `array<${element}>`, access: 'read' });

/** A binding `array<element>` that a kernel writes, and may read. */
export const writes = (name: string, element: string): Binding => ({
  ...reads(name, element),
  access: 'read_write',
});

/** Names of the u32 and f32 fields of a kernel's Params uniform, in order. */
export type ParamsLayout = Readonly<Record<string, 'u32' | 'f32'>>;

/** Values of a kernel's Params; a field left out is an error. */
export type Params = Readonly<Record<string, number>>;

/** Fields of a Params uniform, in order. */
export type ParamFields = readonly (readonly [name: string, type: 'u32' | 'f32'])[];

/** Workgroups in x, y and z. */
export type Groups = readonly [number, number?, number?];

/**
 * Everything that a pipeline is built from. The shader text itself is fixed; a generated prelude adds the model's and
 * device's constants, the bindings and the Params struct, `unroll` expands loops, and variants swap whole libraries.
 */
export interface KernelText {
  /** Stem of the .wgsl file. */
  name: string;
  /** Texts of the libraries and, last, of the kernel with its entry point `main`. */
  sources: readonly string[];
  constants: Readonly<Record<string, Constant>>;
  /** Group 0: inputs, then outputs. */
  bindings: readonly Binding[];
  /** In the address space that the device has for them; see `ParamsSpace`. */
  params: ParamsLayout;
  /** `enable` directives, e.g. `f16`. */
  enables?: readonly string[];
}

/** A kernel with its grid. `Size` describes the work of a dispatch. */
export interface Kernel<Size = unknown> extends KernelText {
  /** Workgroups for work of this size. */
  groups(size: Size): Groups;
}

/** Where a kernel's Params are: group 1, binding 0, a uniform with a dynamic offset; or the immediates of its pass. */
export type ParamsSpace = 'uniform' | 'immediate';

/** A kernel's complete WGSL. */
export function renderKernel(kernel: KernelText, space: ParamsSpace = 'uniform'): string {
  const lines = (kernel.enables ?? []).map((feature) => `enable ${feature};`);
  for (const [name, value] of Object.entries(kernel.constants)) lines.push(renderConstant(name, value));
  kernel.bindings.forEach(({ name, type, access }, index) => {
    lines.push(`@group(0) @binding(${index}) var<storage, ${access}> ${name}: ${type};`);
  });
  const fields = Object.entries(kernel.params).map(([name, type]) => `${name}: ${type},`);
  if (fields.length > 0) {
    const place = space === 'uniform' ? '@group(1) @binding(0) ' : '';
    lines.push(`struct Params { ${fields.join(' ')} }`, `${place}var<${space}> params: Params;`);
  }
  return [...lines, ...kernel.sources.map((source) => unroll(source, kernel.constants))].join('\n');
}

function renderConstant(name: string, value: Constant): string {
  if (typeof value === 'boolean') return `const ${name}: bool = ${value};`;
  if (typeof value === 'number') return `const ${name}: u32 = ${value}u;`;
  return `const ${name}: f32 = f32(${value.f32});`;
}

/** Workgroups that every device supports per dimension (WebGPU's default maxComputeWorkgroupsPerDimension). */
export const MAX_GROUPS = 65_535;

/** A grid of at least `count` workgroups, folded into rows if x alone is too small: index = y · (groups in x) + x. */
export function folded(count: number): Groups {
  const rows = Math.ceil(count / MAX_GROUPS);
  return [Math.ceil(count / rows), rows];
}

const HEADING = /^#(?:part|variant) (\S+)\n/m;

/**
 * Looks up sections of shader libraries by name. A line `#part NAME` or `#variant KIND/CHOICE` begins a section: a part has
 * one text; a variant is one of the texts that a kernel may use for a kind. The lookup throws for an unknown name.
 */
export function shaderParts(...libraries: readonly string[]): (name: string) => string {
  const sections = new Map<string, string>();
  for (const library of libraries) {
    const [, ...pieces] = library.split(HEADING);
    for (let i = 0; i + 1 < pieces.length; i += 2) {
      const name = pieces[i]!;
      if (sections.has(name)) throw new Error(`two sections of the shader libraries are named "${name}"`);
      sections.set(name, pieces[i + 1]!.trim());
    }
  }
  return (name) => {
    const text = sections.get(name);
    if (text === undefined) {
      throw new Error(`no section "${name}" in the shader libraries; they have ${[...sections.keys()].join(', ')}`);
    }
    return text;
  };
}

const FOR = /^\s*#for (\w+) in (\w+)$/;
const END = /^\s*#end$/;

/**
 * Unrolls loops of a shader: repeats the lines from `#for n in COUNT` to its `#end` for each n below the constant COUNT,
 * with `#n` replaced. An array indexed by a loop counter does not stay in registers; one with fixed indices does.
 */
export function unroll(source: string, constants: Readonly<Record<string, unknown>>): string {
  const lines = source.split('\n');
  const text: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string;
    const [, name, count = ''] = FOR.exec(line) ?? [];
    if (name === undefined) {
      text.push(line);
      continue;
    }
    const times = constants[count];
    if (typeof times !== 'number') throw new Error(`#for: ${count} is not a whole constant`);
    const end = endOf(lines, at);
    const body = lines.slice(at + 1, end).join('\n');
    for (let n = 0; n < times; n++) text.push(unroll(body.replaceAll(`#${name}`, String(n)), constants));
    at = end;
  }
  return text.join('\n');
}

function endOf(lines: readonly string[], start: number): number {
  let depth = 0;
  for (let at = start; at < lines.length; at++) {
    const line = lines[at] as string;
    if (FOR.test(line)) depth++;
    if (END.test(line) && --depth === 0) return at;
  }
  throw new Error('#for: no #end');
}

/** 32-bit FNV-1a hash of a text, in hexadecimal; identifies a version of it. */
export function textHash(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16);
}
