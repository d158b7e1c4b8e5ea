import { version } from '../package.json';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { type Command, COMMANDS } from './commands.ts';
import { failure, type Output } from './output.ts';
import type { Flag } from './flags.ts';

/** Output streams of a command. */
export interface Streams {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
}

/**
 * Runs the command in the arguments. Returns the exit code: 0, 2 for wrong arguments, else 1. With `--json` stdout
 * receives exactly one JSON object, also on failure.
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
  if (command) return isHelp ? said(helpOf(name, command)) : (await command.load())(words.slice(isFamily ? 2 : 1));
  const word = isFamily ? second : first;
  const last = word.startsWith('-') && (isFamily || isHelp) ? '' : word;
  const commands = isFamily ? family : COMMANDS;
  if (isHelp && last === '') return said(overview(commands));
  const known = Object.keys(commands).map((each) => each.split(' ')[isFamily ? 1 : 0]);
  const reason = `${JSON.stringify(last.slice(0, 40))} is not one of ${[...new Set(known)].join(', ')}`;
  throw new ChunkwiseError('bad_request', { field: isFamily ? first : 'command', reason });
}

const said = (text: string): Output => ({ json: { help: text }, text });

const WIDTH = 34;

const line = (left: string, about: string): string =>
  left.length > WIDTH - 2 ? `  ${left}\n  ${''.padEnd(WIDTH)}${about}` : `  ${left.padEnd(WIDTH)}${about}`;

const flagLine = ([name, { short, value, about }]: [string, Flag]): string =>
  line(`${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`, about);

/** Output of `chunkwise --help`, or of a family of commands. */
export function overview(commands: Readonly<Record<string, Command>> = COMMANDS): string {
  return [
    'chunkwise COMMAND [flags]',
    '',
    ...Object.entries(commands).map(([name, { usage, about }]) => `  ${name} ${usage}\n      ${about}`),
    '',
    'chunkwise --version prints the version, and chunkwise COMMAND --help lists its flags.',
    'The exit code is 0, 2 for wrong arguments, or 1 for other errors; messages',
    'go to stderr. With --json stdout holds one JSON object: the result, or { "error": … }.',
  ].join('\n');
}

/** Output of `chunkwise COMMAND --help`. */
export function helpOf(name: string, { usage, about, flags }: Command): string {
  return [`chunkwise ${name} ${usage}`, '', `${about}`, '', ...Object.entries(flags).map(flagLine)].join('\n');
}
