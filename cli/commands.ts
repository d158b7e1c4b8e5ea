import {
  BENCH_FLAGS,
  ESTIMATOR_FLAGS,
  EVAL_KV_FLAGS,
  GENERATE_FLAGS,
  INSPECT_FLAGS,
  LOGITS_FLAGS,
  PERPLEXITY_FLAGS,
  PLAN_FLAGS,
  RETRIEVAL_FLAGS,
  SQUAD_FLAGS,
  WGSL_FLAGS,
} from './command-flags.ts';
import type { Flags } from './flags.ts';
import type { Output } from './output.ts';

type Run = (args: string[]) => Promise<Output>;

export interface Command {
  /** What must be given, as it is written. */
  usage: string;
  about: string;
  flags: Flags;
  /** Each comes with its use: not all of them need a GPU. */
  load: () => Promise<Run>;
}

/** By name; an evaluation's is two words. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  inspect: {
    usage: 'PATH',
    about: 'what a model or an adapter holds, and whether it runs here; needs no GPU',
    flags: INSPECT_FLAGS,
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  generate: {
    usage: '--model PATH --prompt TEXT [--chat]',
    about: 'answers a prompt',
    flags: GENERATE_FLAGS,
    load: async () => (await import('./commands/generate.ts')).generate,
  },
  logits: {
    usage: '--model PATH --text TEXT | --tokens LIST --out FILE',
    about: 'logits of every position of a text',
    flags: LOGITS_FLAGS,
    load: async () => (await import('./commands/logits.ts')).logits,
  },
  perplexity: {
    usage: '--model PATH --text FILE',
    about: 'of a text, over consecutive windows',
    flags: PERPLEXITY_FLAGS,
    load: async () => (await import('./commands/perplexity.ts')).perplexity,
  },
  plan: {
    usage: '--model PATH --text FILE [--adapter PATH]',
    about: 'chunks of a text, their levels and ranks; needs no GPU',
    flags: PLAN_FLAGS,
    load: async () => (await import('./commands/plan.ts')).plan,
  },
  'eval estimator': {
    usage: '--model PATH --adapter PATH --text FILE',
    about: 'what foretells where the adapter matters',
    flags: ESTIMATOR_FLAGS,
    load: async () => (await import('./evaluations/estimator.ts')).evaluateEstimator,
  },
  'eval kv': {
    usage: '--model PATH --text FILE',
    about: 'what smaller forms of the cache cost and save',
    flags: EVAL_KV_FLAGS,
    load: async () => (await import('./evaluations/kv.ts')).evaluateKv,
  },
  'eval retrieval': {
    usage: '--model PATH --text FILE',
    about: 'whether a fact is found in a long text',
    flags: RETRIEVAL_FLAGS,
    load: async () => (await import('./evaluations/retrieval.ts')).evaluateRetrieval,
  },
  'eval squad': {
    usage: '--model PATH --data FILE',
    about: 'exact match and F1 of answers',
    flags: SQUAD_FLAGS,
    load: async () => (await import('./evaluations/squad.ts')).evaluateSquad,
  },
  wgsl: {
    usage: 'KERNEL --model PATH',
    about: 'the text that is compiled of a kernel, on this device',
    flags: WGSL_FLAGS,
    load: async () => (await import('./commands/wgsl.ts')).wgsl,
  },
  bench: {
    usage: 'decode|prefill|kernels|attention --model PATH',
    about: 'timings on this device',
    flags: BENCH_FLAGS,
    load: async () => (await import('./commands/bench.ts')).bench,
  },
};
