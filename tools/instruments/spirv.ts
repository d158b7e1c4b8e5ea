import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lavapipeIcd } from '../setup/system.ts';

/** Texts of one child process, so that its output stays small. */
const TEXTS_AT_ONCE = 64;

/** SPIR-V assembly that Dawn compiles each WGSL text to on lavapipe. Throws for a text that it rejects. */
export function spirvOf(codes: readonly string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'spirv-'));
  try {
    const assemblies: string[] = [];
    for (let at = 0; at < codes.length; at += TEXTS_AT_ONCE)
      assemblies.push(...dump(folder, codes.slice(at, at + TEXTS_AT_ONCE)));
    return assemblies;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function dump(folder: string, codes: readonly string[]): string[] {
  const [input, output] = [join(folder, 'codes.json'), join(folder, 'dump.txt')];
  writeFileSync(input, JSON.stringify(codes));
  const stdout = openSync(output, 'w');
  const env = { ...process.env, VK_ICD_FILENAMES: lavapipeIcd() ?? '' };
  const { stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', join(import.meta.dirname, 'dump-shaders.ts'), input],
    { env, stdio: ['ignore', stdout, 'pipe'], encoding: 'utf8' },
  );
  closeSync(stdout);
  const parts = readFileSync(output, 'utf8')
    .split(/^##### \d+$/m)
    .slice(1);
  return codes.map((_, i) => {
    const assembly = assemblyIn(parts[i] ?? '');
    if (assembly === undefined) throw new Error(`no SPIR-V of text ${i}: ${stderr}\n${codes[i]}`);
    return assembly;
  });
}

/** Dawn prints WGSL before the SPIR-V, and other text after it. */
function assemblyIn(dumped: string): string | undefined {
  const start = dumped.indexOf('; SPIR-V');
  const last = 'OpFunctionEnd';
  const end = dumped.lastIndexOf(last);
  return start < 0 || end < start ? undefined : `${dumped.slice(start, end + last.length)}\n`;
}
