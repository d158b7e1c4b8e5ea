import { type Command, COMMANDS } from './commands.ts';
import type { Flag } from './flags.ts';

const WIDTH = 34;

const line = (left: string, about: string): string =>
  left.length > WIDTH - 2 ? `  ${left}\n  ${''.padEnd(WIDTH)}${about}` : `  ${left.padEnd(WIDTH)}${about}`;

const flagLine = ([name, { short, value, about }]: [string, Flag]): string =>
  line(`${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`, about);

/** What `chunkwise --help` prints, or of several commands that a word begins. */
export function overview(commands: Readonly<Record<string, Command>> = COMMANDS): string {
  return [
    'chunkwise COMMAND [flags]',
    '',
    ...Object.entries(commands).map(([name, { usage, about }]) => `  ${name} ${usage}\n      ${about}`),
    '',
    'chunkwise --version prints the version, and chunkwise COMMAND --help lists its flags.',
    'It ends with 0, with 2 where the arguments are wrong, else with 1; messages',
    'go to stderr. With --json stdout holds one JSON object: the result, or { "error": … } where the command failed.',
  ].join('\n');
}

/** What `chunkwise COMMAND --help` prints. */
export function helpOf(name: string, { usage, about, flags }: Command): string {
  return [`chunkwise ${name} ${usage}`, '', `${about}`, '', ...Object.entries(flags).map(flagLine)].join('\n');
}
