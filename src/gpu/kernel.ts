import { unroll } from './unroll.ts';

/** A value fixed when a pipeline is built: whole numbers become u32, booleans bool, `{ f32 }` f32. */
export type Constant = number | boolean | { f32: number };

export interface Binding {
  name: string;
  /** WGSL type, e.g. `array<vec4f>`. */
  type: string;
  access: 'read' | 'read_write';
}

/** Names of the u32 and f32 fields of a kernel's Params uniform, in order. */
export type ParamsLayout = Readonly<Record<string, 'u32' | 'f32'>>;

/** Workgroups in x, y and z. */
export type Groups = readonly [number, number?, number?];

/**
 * Everything a pipeline is built from. The shader text never changes: what is fixed per model or device is a
 * generated prelude of constants, bindings and the Params struct, loops that are written out (unroll.ts), and variants
 * swap whole libraries.
 */
export interface KernelText {
  /** Stem of the .wgsl file. */
  name: string;
  /** Texts of the libraries and, last, of the kernel with its entry point `main`. */
  sources: readonly string[];
  constants: Readonly<Record<string, Constant>>;
  /** Group 0: inputs, then outputs. */
  bindings: readonly Binding[];
  /** Group 1, binding 0, with a dynamic offset. */
  params: ParamsLayout;
  /** `enable` directives, e.g. `f16`. */
  enables?: readonly string[];
}

/** A kernel with its grid, both fixed when it is made. `Size`: what says how much a dispatch has to do. */
export interface Kernel<Size = unknown> extends KernelText {
  /** Workgroups that do work of this size. */
  groups(size: Size): Groups;
}

/** The WGSL a kernel is compiled from. */
export function renderKernel(kernel: KernelText): string {
  const lines = (kernel.enables ?? []).map((feature) => `enable ${feature};`);
  for (const [name, value] of Object.entries(kernel.constants)) lines.push(renderConstant(name, value));
  kernel.bindings.forEach(({ name, type, access }, index) => {
    lines.push(`@group(0) @binding(${index}) var<storage, ${access}> ${name}: ${type};`);
  });
  const fields = Object.entries(kernel.params).map(([name, type]) => `${name}: ${type},`);
  if (fields.length > 0) {
    lines.push(`struct Params { ${fields.join(' ')} }`, '@group(1) @binding(0) var<uniform> params: Params;');
  }
  return [...lines, ...kernel.sources.map((source) => unroll(source, kernel.constants))].join('\n');
}

function renderConstant(name: string, value: Constant): string {
  if (typeof value === 'boolean') return `const ${name}: bool = ${value};`;
  if (typeof value === 'number') return `const ${name}: u32 = ${value}u;`;
  return `const ${name}: f32 = f32(${value.f32});`;
}
