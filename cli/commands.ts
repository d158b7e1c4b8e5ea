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
  /** Required arguments, as shown in the help. */
  usage: string;
  about: string;
  flags: Flags;
  /** Commands are loaded on use, because not all of them need a GPU. */
  load: () => Promise<Run>;
}

/** Commands by name; an evaluation's name has two words. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  inspect: {
    usage: 'PATH',
    about: 'show the contents of a model or an adapter, and whether it runs here; needs no GPU',
    flags: INSPECT_FLAGS,
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  generate: {
    usage: '--model PATH --prompt TEXT [--chat]',
    about: 'answer a prompt',
    flags: GENERATE_FLAGS,
    load: async () => (await import('./commands/generate.ts')).generate,
  },
  logits: {
    usage: '--model PATH --text TEXT | --tokens LIST --out FILE',
    about: 'write the logits of every position of a text',
    flags: LOGITS_FLAGS,
    load: async () => (await import('./commands/logits.ts')).logits,
  },
  perplexity: {
    usage: '--model PATH --text FILE',
    about: 'measure the perplexity of a text over consecutive windows',
    flags: PERPLEXITY_FLAGS,
    load: async () => (await import('./commands/perplexity.ts')).perplexity,
  },
  plan: {
    usage: '--model PATH --text FILE [--adapter PATH]',
    about: 'show the chunks of a text, their levels and ranks; needs no GPU',
    flags: PLAN_FLAGS,
    load: async () => (await import('./commands/plan.ts')).plan,
  },
  'eval estimator': {
    usage: '--model PATH --adapter PATH --text FILE',
    about: 'measure how well each estimator predicts where the adapter matters',
    flags: ESTIMATOR_FLAGS,
    load: async () => (await import('./evaluations/estimator.ts')).evaluateEstimator,
  },
  'eval kv': {
    usage: '--model PATH --text FILE',
    about: 'measure the quality and the bytes of smaller KV caches',
    flags: EVAL_KV_FLAGS,
    load: async () => (await import('./evaluations/kv.ts')).evaluateKv,
  },
  'eval retrieval': {
    usage: '--model PATH --text FILE',
    about: 'measure whether the model finds a fact in a long text',
    flags: RETRIEVAL_FLAGS,
    load: async () => (await import('./evaluations/retrieval.ts')).evaluateRetrieval,
  },
  'eval squad': {
    usage: '--model PATH --data FILE',
    about: 'measure exact match and F1 of answers',
    flags: SQUAD_FLAGS,
    load: async () => (await import('./evaluations/squad.ts')).evaluateSquad,
  },
  wgsl: {
    usage: 'KERNEL --model PATH',
    about: "print a kernel's WGSL as compiled on this device",
    flags: WGSL_FLAGS,
    load: async () => (await import('./commands/wgsl.ts')).wgsl,
  },
  bench: {
    usage: 'decode|prefill|kernels|attention --model PATH',
    about: 'measure timings on this device',
    flags: BENCH_FLAGS,
    load: async () => (await import('./commands/bench.ts')).bench,
  },
};
