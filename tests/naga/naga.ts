import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { installWheels } from '../../tools/setup/pip.ts';

const FOLDER = import.meta.dirname;
/** wgpu-native in Python and its dependencies. Its compiler is naga, which Firefox uses too. */
const WHEELS = ['wgpu==0.32.0', 'cffi==2.1.1', 'pycparser==3.0', 'sniffio==1.3.1'];
const PACKAGES = join(FOLDER, '../../.cache/naga', WHEELS.join());

export interface Module {
  code: string;
  /** Also create a pipeline. It takes longer, and finds errors of the driver too. */
  pipeline: boolean;
}

/** naga's error for each module, or null. `features` of the device are enabled if the adapter has them. */
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
