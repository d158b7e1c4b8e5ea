import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Puts what a package of npm holds, as `name@version`, into a folder of its own, where it is missing: without what it depends on. */
export function unpackPackage(folder: string, spec: string): void {
  if (existsSync(folder)) return;
  console.log(`fetching ${spec}`);
  const part = `${folder}.${process.pid}`;
  mkdirSync(part, { recursive: true });
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', part, spec], { encoding: 'utf8' }).trim();
  execFileSync('tar', ['-xzf', join(part, packed), '-C', part, '--strip-components=1']);
  rmSync(join(part, packed));
  if (existsSync(folder)) rmSync(part, { recursive: true }); // another process was faster
  else renameSync(part, folder);
}
