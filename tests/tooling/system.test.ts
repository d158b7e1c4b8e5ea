import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');

it('names missing packages that cannot be installed in one line', () => {
  const code = `import('./tools/setup/system.ts').then((system) => system.ensureSystem()).catch((e) => console.log(e.message))`;
  // Without a PATH there is neither a compiler nor apt-get.
  const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '--eval', code], {
    cwd: ROOT,
    env: { ...process.env, PATH: '/nonexistent' },
    encoding: 'utf8',
  });
  expect(stdout).toBe('missing from this system: gcc spirv-tools (on Debian: sudo apt-get install gcc spirv-tools)\n');
});
