import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensureFolder } from './ensure-folder.ts';

/** Puts what a package of npm holds, as `name@version`, into a folder of its own, where it is missing: without what it depends on. */
export function unpackPackage(folder: string, spec: string): void {
  ensureFolder(folder, (part) => {
    console.log(`fetching ${spec}`);
    const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', part, spec], {
      encoding: 'utf8',
    }).trim();
    execFileSync('tar', ['-xzf', join(part, packed), '-C', part, '--strip-components=1']);
    rmSync(join(part, packed));
  });
}
