import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

/** Bits of lavapipe's vectors, and the subgroup sizes that result. The other tests of the rest tier have subgroups of 8. */
const SIZES = [
  { bits: 128, subgroup: 4 },
  { bits: 512, subgroup: 16 },
] as const;

/** Tests of kernels for graphics cards that sum across subgroups, alone and in a model. The other kernel tests take minutes at each size. */
const FILES = ['kernels/linear-decode.test.ts', 'kernels/element-wise.test.ts', 'session/variants.ci.test.ts'];
const NAMES = 'gpu linear-decode: \\d+ columns|rms-norm gpu |^gpu class:';

const OPEN =
  "import { create } from 'webgpu'; globalThis.gpu = create([]); console.log((await gpu.requestAdapter()).info.subgroupMaxSize); process.exit()";

const run = promisify(execFile);

test.each(SIZES)('kernels for graphics cards are right at subgroups of $subgroup', async ({ bits, subgroup }) => {
  // Mesa's cache does not record the vector width.
  const shaders = join(ROOT, '.cache/mesa', String(bits));
  const env = { ...process.env, LP_NATIVE_VECTOR_WIDTH: String(bits), MESA_SHADER_CACHE_DIR: shaders };
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', OPEN], { cwd: ROOT, env });
  expect(Number(stdout)).toBe(subgroup);
  const files = FILES.map((file) => join('tests', file));
  const options = ['run', '--project', 'gpu-wide', '--reporter=json', '--testNamePattern', NAMES];
  const ran = await run(process.execPath, [join(ROOT, 'node_modules/vitest/vitest.mjs'), ...options, ...files], {
    cwd: ROOT,
    env,
    maxBuffer: 1 << 26,
  }).catch((error: unknown) => {
    throw new Error((error as { stdout: string }).stdout);
  });
  const { numPassedTests, numFailedTests } = JSON.parse(ran.stdout.slice(ran.stdout.indexOf('{"num'))) as Record<
    string,
    number
  >;
  expect(numFailedTests).toBe(0);
  expect(numPassedTests).toBeGreaterThanOrEqual(8);
});
