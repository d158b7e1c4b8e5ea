import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { TIER } from './tests/support/tier.ts';
import { lavapipeIcd } from './tools/setup/system.ts';

/** Folders of tests that need no GPU. */
const CPU_FOLDERS =
  /^tests\/(adapters|api|cache|chunking|config|errors|fuzz|grammar|hub|node|page|reference|tokenizer|tooling|weights|web-llm|workers)\//;

/** A file NAME.ci.test.ts belongs to the rest. One that asks for the tier belongs to both tiers: the rest has all of its cases. */
function isInThisTier(path: string): boolean {
  if (TIER === 'all') return true;
  const isRestOnly = path.endsWith('.ci.test.ts');
  if (TIER === 'change') return !isRestOnly;
  return (
    isRestOnly || /\b(byTier|restOnly|describeVariants)\(/.test(readFileSync(join(import.meta.dirname, path), 'utf8'))
  );
}

const testFiles = ['tests', 'e2e']
  .flatMap((folder) =>
    readdirSync(join(import.meta.dirname, folder), { recursive: true, encoding: 'utf8' }).map((path) =>
      join(folder, path),
    ),
  )
  .filter((path) => path.endsWith('.test.ts') && !path.includes('node_modules') && isInThisTier(path));
const cpuFiles = testFiles.filter((path) => CPU_FOLDERS.test(path));
const browserFiles = testFiles.filter((path) => path.startsWith('e2e'));
/** They compute more than they compile: lavapipe optimizes their shaders, as for users. */
const computingFiles = [
  'tests/kernels/sampling-draws.ci.test.ts',
  'tests/measure/paper.ci.test.ts',
  'tests/measure/peers.ci.test.ts',
  'tests/models/real-model.ci.test.ts',
].filter((path) => testFiles.includes(path));
const gpuFiles = testFiles.filter((path) => ![...cpuFiles, ...browserFiles, ...computingFiles].includes(path));

const env = {
  VK_ICD_FILENAMES: process.env['VK_ICD_FILENAMES'] ?? lavapipeIcd() ?? '',
  // What commands keep lies where this machine's user does not find it.
  CHUNKWISE_CACHE: join(import.meta.dirname, '.cache/commands'),
};

// Much of the time goes into lavapipe's compiler, and what it compiles computes little: it does without optimizing.
// In the change tier vectors have 128 bits, for which LLVM takes half as long, and subgroups four invocations; in the rest
// they are as wide as the processor has them. What Mesa keeps does not say how wide it was compiled.
const narrow = {
  LP_NATIVE_VECTOR_WIDTH: '128',
  MESA_SHADER_CACHE_DIR: join(import.meta.dirname, '.cache/mesa/128'),
};
const quickToCompile = { ...env, GALLIVM_PERF: 'nopt', ...(TIER === 'change' ? narrow : {}) };

// A first run installs llama.cpp and compiles shaders, which a slow machine does for minutes; only a hang takes this long.
const common = {
  // Forks, since a terminated worker thread with GPU work pending aborts its process.
  pool: 'forks',
  setupFiles: 'tests/support/array-equality.ts',
  testTimeout: 400_000,
  hookTimeout: 400_000,
} as const;

export default defineConfig({
  test: {
    // A file uses two thirds of a core, and waits for a GPU, a browser or a command: three at a time use the two of CI.
    // Of the rest two, since some of its files measure.
    maxWorkers: TIER === 'change' ? 3 : 2,
    projects: [
      { test: { name: 'cpu', include: cpuFiles, ...common } },
      // In the change tier one process has many files: its device stays, and with it what was compiled for those before.
      { test: { name: 'gpu', include: gpuFiles, isolate: TIER !== 'change', env: quickToCompile, ...common } },
      { test: { name: 'gpu-computing', include: computingFiles, env, ...common } },
      {
        test: {
          name: 'e2e',
          include: browserFiles,
          globalSetup: 'e2e/support/browser.ts',
          env: quickToCompile,
          ...common,
        },
      },
    ],
  },
});
