import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const SHADER = '// `back` ${ticks}, ünicode, "quotes" \\n\n@compute @workgroup_size(1) fn main() {}\n';

it('gives plain Node the text of a shader that a TypeScript module imports with ?raw', () => {
  mkdirSync(join(ROOT, '.cache'), { recursive: true });
  const folder = mkdtempSync(join(ROOT, '.cache/wgsl-loader-'));
  try {
    mkdirSync(join(folder, 'shaders'));
    mkdirSync(join(folder, 'src'));
    writeFileSync(join(folder, 'shaders/x.wgsl'), SHADER);
    writeFileSync(
      join(folder, 'src/x.ts'),
      `import source from '../shaders/x.wgsl?raw';\nexport const x: string = source;`,
    );
    const main = join(folder, 'main.ts');
    writeFileSync(main, `import { x } from './src/x.ts';\nprocess.stdout.write(x satisfies string);`);
    const args = ['--import', 'tsx', '--import', './tools/wgsl-loader.mjs', main];
    expect(execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' })).toBe(SHADER);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
