import { version } from '../package.json';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { type Command, COMMANDS } from './commands.ts';
import { helpOf, overview } from './help.ts';
import { failure, type Output } from './output.ts';

/** Where a command writes. */
export interface Streams {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
}

/**
 * Runs the command that the arguments name. Gives the exit code: 0, 2 where the arguments are wrong, else 1. With `--json`
 * stdout gets one JSON object and nothing else, also where the command fails.
 */
export async function run(args: readonly string[], { stdout, stderr }: Streams): Promise<number> {
  const isJson = args.includes('--json');
  try {
    const { json, text, report } = await answer(args);
    stdout(isJson ? `${JSON.stringify(json)}\n` : `${text}\n`);
    if (!isJson && report !== undefined) stderr(`${report}\n`);
    return 0;
  } catch (error) {
    const isOurs = error instanceof ChunkwiseError;
    if (isJson) stdout(`${JSON.stringify(failure(error))}\n`);
    stderr(
      isOurs
        ? `chunkwise: ${error.message} [${error.code}]\n`
        : `chunkwise: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    return isOurs && error.code === 'bad_request' ? 2 : 1;
  }
}

const HELP = ['help', '--help', '-h'];

async function answer(args: readonly string[]): Promise<Output> {
  if (args[0] === '--version') return { json: { version }, text: version };
  const leads = HELP.includes(args[0] ?? 'help');
  const isHelp = leads || args.includes('--help') || args.includes('-h');
  const words = leads ? args.slice(1) : args;
  const [first = '', second = ''] = words;
  const family = Object.fromEntries(Object.entries(COMMANDS).filter(([name]) => name.startsWith(`${first} `)));
  const isFamily = Object.keys(family).length > 0;
  const name = isFamily ? `${first} ${second}` : first;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command) return isHelp ? said(helpOf(name, command)) : (await loaded(command))(words.slice(isFamily ? 2 : 1));
  const word = isFamily ? second : first;
  const last = word.startsWith('-') && (isFamily || isHelp) ? '' : word;
  const commands = isFamily ? family : COMMANDS;
  if (isHelp && last === '') return said(overview(commands));
  const known = Object.keys(commands).map((each) => each.split(' ')[isFamily ? 1 : 0]);
  const reason = `${JSON.stringify(last.slice(0, 40))} is not one of ${[...new Set(known)].join(', ')}`;
  throw new ChunkwiseError('bad_request', { field: isFamily ? first : 'command', reason });
}

const said = (text: string): Output => ({ json: { help: text }, text });

/** Throws `no_webgpu` where `webgpu`, an optional dependency, is not installed. */
async function loaded({ load }: Command): Promise<(args: string[]) => Promise<Output>> {
  try {
    return await load();
  } catch (cause) {
    const isMissing = cause instanceof Error && /Cannot find package 'webgpu'/.test(cause.message);
    if (!isMissing) throw cause;
    throw new ChunkwiseError('no_webgpu', { reason: 'this command needs a GPU: npm install webgpu' }, { cause });
  }
}
