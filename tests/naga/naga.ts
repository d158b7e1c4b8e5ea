import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { installWheels } from '../../tools/setup/pip.ts';

const FOLDER = import.meta.dirname;
/** wgpu-native in Python, and what it needs: naga is its compiler, as it is Firefox's. */
const WHEELS = ['wgpu==0.32.0', 'cffi==2.1.1', 'pycparser==3.0', 'sniffio==1.3.1'];
const PACKAGES = join(FOLDER, '../../.cache/naga', WHEELS.join());

export interface Module {
  code: string;
  /** Its pipeline is made as well: slower, and what a driver says counts too. */
  pipeline: boolean;
}

/** What naga says against each of the modules; null: nothing. `features`: of the device, where the adapter has them. */
export function compileWithNaga(modules: readonly Module[], features: readonly string[]): (string | null)[] {
  installWheels(PACKAGES, ...WHEELS);
  const input = JSON.stringify({ features, modules });
  const output = execFileSync('python3', [join(FOLDER, 'compile.py'), PACKAGES], {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return JSON.parse(output) as (string | null)[];
}
