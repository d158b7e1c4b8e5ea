import type { Output } from './output.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

type Command = (args: string[]) => Promise<Output>;

/** Each comes with its use: not all of them need a GPU. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  bench: async () => (await import('./commands/bench.ts')).bench,
  eval: async () => (await import('./commands/eval.ts')).evaluate,
  generate: async () => (await import('./commands/generate.ts')).generate,
  inspect: async () => (await import('./commands/inspect.ts')).inspect,
  logits: async () => (await import('./commands/logits.ts')).logits,
  perplexity: async () => (await import('./commands/perplexity.ts')).perplexity,
  plan: async () => (await import('./commands/plan.ts')).plan,
};

const USAGE = `chunkwise COMMAND [flags]

  inspect FILE                                          what a model file holds
  generate --model FILE --prompt TEXT [--chat]          answer a prompt
           [--max-tokens N] [--temperature T] [--top-k N] [--top-p P] [--min-p P]
  logits   --model FILE --text TEXT | --tokens LIST --out FILE
                                                        float32 [T, vocab]
  perplexity --model FILE --text FILE [--context N] [--start N] [--max-tokens N]
  plan     --model FILE --text FILE [--adapter A] [--stream]
                                                        chunks of a text, their levels and ranks
  eval estimator --model FILE --adapter A --text FILE [--context N] [--max-tokens N]
                                                        what foretells where the adapter matters
  eval squad --model FILE --data FILE [--limit N]       exact match and F1 of answers
  eval kv --model FILE --text FILE [--budget LIST] [--context N] [--max-tokens N]
                                                        what smaller forms of the cache cost and save
  eval retrieval --model FILE --text FILE [--kv MODE] [--context N] [--depths N]
                                                        whether a fact is found in a long text
  bench decode|prefill|kernels|attention --model FILE [-T LIST]
                                                        timings on this device

  --adapter DIR|FILE[:scale]   a LoRA adapter, PEFT or GGUF; several are summed
  --ranks chunkwise|uniform|shuffled|N   ranks of each token; --equal-mean-rank: uniform as many as chunkwise
  --estimator surprisal|openness|…  what tells how hard a token of a text is
  --rank-error-budget F        what the lowest level may lose
  --save-plan FILE, --plan FILE   records which token got which ranks, and follows a record
  --gpu-adapter NAME   part of the adapter's name       --seed N
  --context-length N   tokens the cache holds           --json    one JSON object
  --memory-limit N     bytes of GPU memory
`;

async function main([command = '', ...args]: string[]): Promise<number> {
  const load = COMMANDS[command];
  if (!load) {
    process.stderr.write(USAGE);
    return command === '' || command === 'help' || command === '--help' ? 0 : 2;
  }
  try {
    const { json, text } = await (await loaded(load))(args);
    process.stdout.write(args.includes('--json') ? `${JSON.stringify(json)}\n` : `${text}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof ChunkwiseError)) throw error;
    process.stderr.write(`chunkwise: ${error.message} [${error.code}]\n`);
    return 1;
  }
}

/** Throws `no_webgpu` where `webgpu`, an optional dependency, is not installed. */
async function loaded(load: () => Promise<Command>): Promise<Command> {
  try {
    return await load();
  } catch (cause) {
    const isMissing = cause instanceof Error && /Cannot find package 'webgpu'/.test(cause.message);
    if (!isMissing) throw cause;
    throw new ChunkwiseError('no_webgpu', { reason: 'this command needs a GPU: npm install webgpu' }, { cause });
  }
}

// The GPU's own threads would keep the process alive.
process.exit(await main(process.argv.slice(2)));
