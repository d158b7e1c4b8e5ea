import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { radvIcd } from '../setup/system.ts';

/** Cards that Mesa compiles for: RDNA 3, RDNA 2, GCN 5. */
export const FAMILIES = ['navi31', 'navi21', 'renoir'] as const;
export type Family = (typeof FAMILIES)[number];

/** The compiler's statistics of a shader. */
export interface IsaFigures {
  /** Vector registers of an invocation, and how many are spilled to memory. */
  vgprs: number;
  spilled: number;
  /** Bytes of memory of a wave for variables without a register. */
  scratch: number;
  /** Bytes of workgroup memory. */
  lds: number;
  /** Waves of 64 that a SIMD holds at once: at most 16, on GCN 10. */
  waves: number;
  instructions: number;
  valu: number;
  vmem: number;
}

/** Mesa's names of the statistics. */
const STATISTICS: Record<keyof IsaFigures, string> = {
  vgprs: 'VGPRs',
  spilled: 'Spilled VGPRs',
  scratch: 'Scratch size',
  lds: 'LDS size',
  waves: 'Subgroups per SIMD',
  instructions: 'Instructions',
  valu: 'VALU',
  vmem: 'VMEM',
};

/** Waves that Mesa counts for a wave of 64: on RDNA it counts waves of 32 (radv_get_max_waves in radv_shader.c). */
const COUNTED_AS: Record<Family, number> = { navi31: 2, navi21: 2, renoir: 1 };

const SOURCE = join(import.meta.dirname, 'isa.c');
const CACHE = join(import.meta.dirname, '../../.cache/isa');

const run = promisify(execFile);

/** Compiles shaders for graphics cards that this machine lacks. */
export class IsaCompiler {
  readonly #program = builtProgram();
  readonly #folder = mkdtempSync(join(tmpdir(), 'isa-'));
  #next = 0;

  /** Compiles SPIR-V assembly for each family. */
  async compile(assembly: string, families: readonly Family[]): Promise<Record<string, IsaFigures>> {
    const file = await this.#assembled(assembly);
    const figures: Record<string, IsaFigures> = {};
    for (const family of families)
      figures[family] = figuresIn((await this.#ask(file, assembly, family)).stdout, family);
    return figures;
  }

  /** The instructions of a family, as Mesa prints them. */
  async disassemble(assembly: string, family: Family): Promise<string> {
    const { stderr } = await this.#ask(await this.#assembled(assembly), assembly, family, { RADV_DEBUG: 'asm' });
    return stderr.slice(stderr.indexOf('disasm:'));
  }

  async #assembled(assembly: string): Promise<string> {
    const file = join(this.#folder, `${this.#next++}`);
    writeFileSync(`${file}.spvasm`, assembly);
    await run('spirv-as', [
      '--target-env',
      'vulkan1.3',
      '--preserve-numeric-ids',
      `${file}.spvasm`,
      '-o',
      `${file}.spv`,
    ]);
    return `${file}.spv`;
  }

  #ask(
    file: string,
    assembly: string,
    family: Family,
    more: NodeJS.ProcessEnv = {},
  ): Promise<{ stdout: string; stderr: string }> {
    const entry = /OpEntryPoint GLCompute %\S+ "([^"]+)"/.exec(assembly)?.[1] ?? '';
    const env = {
      ...process.env,
      RADV_FORCE_FAMILY: family,
      VK_ICD_FILENAMES: radvIcd() ?? '',
      XDG_RUNTIME_DIR: this.#folder,
      ...more,
    };
    return run(this.#program, [file, entry, bindingLetters(assembly)], { env, maxBuffer: 1 << 26 });
  }

  close(): void {
    rmSync(this.#folder, { recursive: true });
  }
}

function builtProgram(): string {
  const program = join(CACHE, createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 16));
  if (existsSync(program)) return program;
  mkdirSync(CACHE, { recursive: true });
  const part = `${program}.${process.pid}`;
  execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', part, SOURCE, '-lvulkan']);
  renameSync(part, program);
  return program;
}

function figuresIn(output: string, family: Family): IsaFigures {
  const said = new Map([...output.matchAll(/^(.+): (\d+)$/gm)].map(([, name = '', value]) => [name, Number(value)]));
  const entries = Object.entries(STATISTICS).map(([figure, name]) => {
    const value = said.get(name);
    if (value === undefined) throw new Error(`the compiler does not print ${name}`);
    return [figure, value];
  });
  const figures = Object.fromEntries(entries) as IsaFigures;
  return { ...figures, waves: Math.floor(figures.waves / COUNTED_AS[family]) };
}

/** Bindings in the format of isa.c; bindings that a group does not use count as storage. */
function bindingLetters(assembly: string): string {
  const uniforms = new Set([...assembly.matchAll(/^ *%(\S+) = OpVariable %\S+ Uniform\b/gm)].map(([, id]) => id));
  const places = new Map(
    [...assembly.matchAll(/OpDecorate %(\S+) Binding (\d+)/g)].map(([, id, place]) => [id, Number(place)]),
  );
  const groups: (string | undefined)[][] = [];
  for (const [, id, group] of assembly.matchAll(/OpDecorate %(\S+) DescriptorSet (\d+)/g)) {
    (groups[Number(group)] ??= [])[places.get(id) ?? 0] = uniforms.has(id) ? 'U' : 'S';
  }
  return Array.from(groups, (letters = []) => Array.from(letters, (letter) => letter ?? 'S').join('')).join('/');
}
