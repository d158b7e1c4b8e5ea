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

/** What the compiler says of a shader. */
export interface IsaFigures {
  /** Vector registers an invocation has, and those of them that went to memory instead. */
  vgprs: number;
  spilled: number;
  /** Bytes of memory a wave uses for variables that have no register. */
  scratch: number;
  /** Bytes of workgroup memory. */
  lds: number;
  /** Waves of 64 that a SIMD holds at once: at most 16, of GCN 10. */
  waves: number;
  instructions: number;
  valu: number;
  vmem: number;
}

/** By Mesa's names. */
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

/** What Mesa counts a wave of 64 as: of RDNA it tells waves of 32 (radv_get_max_waves in radv_shader.c), whatever it compiles for. */
const COUNTED_AS: Record<Family, number> = { navi31: 2, navi21: 2, renoir: 1 };

const SOURCE = join(import.meta.dirname, 'isa.c');
const CACHE = join(import.meta.dirname, '../../.cache/isa');

const run = promisify(execFile);

/** Compiles shaders for cards that are not there. */
export class IsaCompiler {
  readonly #program = builtProgram();
  readonly #folder = mkdtempSync(join(tmpdir(), 'isa-'));
  #next = 0;

  /** What each family makes of a shader's SPIR-V, in assembly. */
  async compile(assembly: string, families: readonly Family[]): Promise<Record<string, IsaFigures>> {
    const file = await this.#assembled(assembly);
    const figures: Record<string, IsaFigures> = {};
    for (const family of families)
      figures[family] = figuresIn((await this.#ask(file, assembly, family)).stdout, family);
    return figures;
  }

  /** The instructions that a family runs, as Mesa prints them. */
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
    if (value === undefined) throw new Error(`the compiler says nothing of ${name}`);
    return [figure, value];
  });
  const figures = Object.fromEntries(entries) as IsaFigures;
  return { ...figures, waves: Math.floor(figures.waves / COUNTED_AS[family]) };
}

/** As isa.c wants them: what a group does not use counts as storage. */
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
