import type { Fault } from './fault.ts';
import { ADAPTERS } from './faults/adapters.ts';
import { API } from './faults/api.ts';
import { CACHE } from './faults/cache.ts';
import { COMMAND_LINE } from './faults/command-line.ts';
import { GRAMMAR } from './faults/grammar.ts';
import { KERNELS } from './faults/kernels.ts';
import { MODELS } from './faults/models.ts';
import { PAGE } from './faults/page.ts';
import { SAMPLER } from './faults/sampler.ts';
import { SCHEDULING } from './faults/scheduling.ts';
import { SELF_CHECK } from './faults/self-check.ts';
import { SPECULATION } from './faults/speculation.ts';
import { STORAGE } from './faults/storage.ts';
import { TOKENIZER } from './faults/tokenizer.ts';
import { WORKERS } from './faults/workers.ts';

/** All faults, by area. */
export const FAULTS: Readonly<Record<string, readonly Fault[]>> = {
  kernels: KERNELS,
  cache: CACHE,
  adapters: ADAPTERS,
  sampler: SAMPLER,
  speculation: SPECULATION,
  tokenizer: TOKENIZER,
  grammar: GRAMMAR,
  api: API,
  storage: STORAGE,
  page: PAGE,
  workers: WORKERS,
  scheduling: SCHEDULING,
  models: MODELS,
  'self-check': SELF_CHECK,
  'command-line': COMMAND_LINE,
};

export const areaOf = (id: string): string =>
  Object.entries(FAULTS).find(([, faults]) => faults.some((fault) => fault.id === id))?.[0] ?? '';
