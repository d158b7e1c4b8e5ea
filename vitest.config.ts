import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { TIER } from './tests/support/tier.ts';
import { lavapipeIcd } from './tools/setup/system.ts';

const CPU_FOLDERS =
  'tests/{adapters,api,cache,chunking,config,errors,fuzz,grammar,hub,page,reference,tokenizer,tooling,weights,web-llm,workers}';

/** Test files of this run below `folders`. A file NAME.ci.test.ts belongs to the rest alone. */
const filesBelow = (folders: string): string[] => [`${folders}/**/*.${TIER === 'rest' ? 'ci.' : ''}test.ts`];
const notInThisTier = TIER === 'change' ? ['**/*.ci.test.ts'] : [];

const env = {
  VK_ICD_FILENAMES: process.env['VK_ICD_FILENAMES'] ?? lavapipeIcd() ?? '',
  // What commands keep lies where this machine's user does not find it.
  CHUNKWISE_CACHE: join(import.meta.dirname, '.cache/commands'),
};

// Most of the time goes into lavapipe's compiler, and what it compiles computes little: it does without optimizing.
const quickToCompile = { ...env, GALLIVM_PERF: 'nopt' };

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
    // Compilers, and tests themselves, use one core each: two files at a time use two.
    maxWorkers: 2,
    // Kernels' tests hold cases of both tiers in one file: where nothing is left for the rest, it is empty.
    passWithNoTests: TIER === 'rest',
    projects: [
      { test: { name: 'cpu', include: filesBelow(CPU_FOLDERS), exclude: notInThisTier, ...common } },
      {
        test: {
          name: 'gpu',
          include: [...filesBelow('tests'), 'tests/kernels/**/*.test.ts'],
          exclude: ['**/node_modules/**', `${CPU_FOLDERS}/**`, ...notInThisTier],
          env: quickToCompile,
          ...common,
        },
      },
      {
        test: {
          name: 'e2e',
          include: filesBelow('e2e'),
          exclude: ['**/node_modules/**', ...notInThisTier],
          globalSetup: 'e2e/support/browser.ts',
          env: quickToCompile,
          ...common,
        },
      },
    ],
  },
});
