import { defineConfig } from 'vitest/config';
import { lavapipeIcd } from './tools/system.ts';

const CPU_AREAS = 'tests/{adapters,api,cache,chunking,config,errors,fuzz,grammar,hub,reference,tokenizer,tooling,weights,web-llm,workers}/**/*.test.ts';

// The same software adapter everywhere: without this the Vulkan loader takes the first device it finds.
const env = { VK_ICD_FILENAMES: process.env['VK_ICD_FILENAMES'] ?? lavapipeIcd() ?? '' };

// Forks, since a terminated worker thread with GPU work pending aborts its process.
// One file at a time where the software adapters run: each of them uses every core.
const gpu = { pool: 'forks', maxWorkers: 1, env } as const;

// A first run installs llama.cpp and compiles shaders, which a slow machine does for minutes; only a hang takes this long.
const timeouts = { testTimeout: 400_000, hookTimeout: 400_000 };

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'cpu', include: [CPU_AREAS], pool: 'forks', ...timeouts, sequence: { groupOrder: 0 } } },
      {
        test: {
          name: 'gpu',
          include: ['tests/**/*.test.ts'],
          exclude: ['**/node_modules/**', CPU_AREAS],
          ...gpu,
          ...timeouts,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['e2e/**/*.test.ts'],
          ...gpu,
          ...timeouts,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
