import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { TIER } from './tests/support/tier.ts';
import { lavapipeIcd } from './tools/setup/system.ts';

/** Folders of tests that need no GPU. */
const CPU_FOLDERS =
  /^tests\/(adapters|api|cache|chunking|config|errors|functions|fuzz|grammar|hub|node|page|tokenizer|tooling|weights|web-llm|workers)\//;

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
const filesOf = (...paths: string[]): string[] => testFiles.filter((path) => paths.includes(path));
/** They compute more than they compile: lavapipe optimizes their shaders, as for users. */
const computingFiles = filesOf('tests/kernels/sampling-statistics.ci.test.ts', 'tests/models/real-model.ci.test.ts');
/** They measure time, with optimized shaders too. */
const measuringFiles = filesOf('tests/measure/paper.ci.test.ts', 'tests/measure/peers.ci.test.ts');
const otherFiles = testFiles.filter(
  (path) => ![...cpuFiles, ...browserFiles, ...computingFiles, ...measuringFiles].includes(path),
);
/** Tests that ask what the engine answers. */
const ENGINE_FOLDERS = /^tests\/(ai-sdk|cli|engine|llama|stress)\//;
const engineFiles = otherFiles.filter((path) => TIER === 'change' || ENGINE_FOLDERS.test(path));
/** Tests of kernels that have other texts for subgroups of eight invocations, which lavapipe has with vectors of 256 bits. */
const WIDE = /^tests\/(kernels\/(linear-|lora|subgroup-sizes)|session\/(checks\/self-check|variants))/;
const isWide = (path: string): boolean => !engineFiles.includes(path) && WIDE.test(path);

const env = {
  VK_ICD_FILENAMES: process.env['VK_ICD_FILENAMES'] ?? lavapipeIcd() ?? '',
  // What commands keep lies where this machine's user does not find it.
  CHUNKWISE_CACHE: join(import.meta.dirname, '.cache/commands'),
};

// Much of the time goes into lavapipe's compiler, and what it compiles computes little: it does without optimizing.
const wide = { ...env, GALLIVM_PERF: 'nopt' };
// Vectors of 128 bits, for which LLVM takes half as long, give subgroups of four invocations. Tests of the rest whose
// kernels depend on that have vectors as wide as the processor's. What Mesa keeps does not say how wide it was compiled.
const narrow = {
  ...wide,
  LP_NATIVE_VECTOR_WIDTH: '128',
  MESA_SHADER_CACHE_DIR: join(import.meta.dirname, '.cache/mesa/128'),
};

// A first run installs llama.cpp and compiles shaders, which a slow machine does for minutes; only a hang takes this long.
const common = {
  // Forks, since a terminated worker thread with GPU work pending aborts its process.
  pool: 'forks',
  setupFiles: 'tests/support/array-equality.ts',
  testTimeout: 900_000,
  hookTimeout: 900_000,
  // A busy machine needs more than vitest's second.
  expect: { poll: { timeout: 60_000 } },
} as const;

export default defineConfig({
  test: {
    // A file uses about half a core, and waits for a GPU, a browser or a command. The change tier has the checks of the
    // sources beside it.
    maxWorkers: TIER === 'change' ? 3 : 4,
    projects: [
      { test: { name: 'cpu', include: cpuFiles, isolate: false, ...common } },
      // One process has many files: its device stays, and with it what was compiled for those before.
      { test: { name: 'gpu', include: engineFiles, isolate: false, env: narrow, ...common } },
      // In one process, these would keep several GB.
      {
        test: {
          name: 'gpu-isolated',
          include: otherFiles.filter((path) => !engineFiles.includes(path) && !isWide(path)),
          env: narrow,
          ...common,
        },
      },
      { test: { name: 'gpu-wide', include: otherFiles.filter(isWide), env: wide, ...common } },
      {
        test: { name: 'gpu-computing', include: computingFiles, env, ...common },
      },
      // After the others, since other work beside them changes what they measure.
      {
        test: {
          name: 'gpu-measuring',
          include: measuringFiles,
          env,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          ...common,
        },
      },
      {
        test: {
          name: 'e2e',
          include: browserFiles,
          isolate: false,
          globalSetup: 'e2e/support/browser.ts',
          env: narrow,
          ...common,
        },
      },
    ],
  },
});
