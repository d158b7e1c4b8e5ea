import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensureFolder } from './ensure-folder.ts';

/** Unpacks an npm package `name@version` into its own folder if missing, without its dependencies. */
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
