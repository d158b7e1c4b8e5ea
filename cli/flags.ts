import { parseArgs } from 'node:util';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { readFile } from 'node:fs/promises';

/** A flag of parseArgs, with its help. */
export interface Flag {
  type: 'string' | 'boolean';
  multiple?: boolean;
  short?: string;
  /** Placeholder of its value in the help. */
  value?: string;
  about: string;
}

export type Flags = Readonly<Record<string, Flag>>;

/**
 * Parses a command's arguments. Errors: `bad_request` naming an unknown flag, a missing value, or an extra argument.
 */
export function parseFlags<T extends Flags>(args: string[], options: T, allowPositionals = false) {
  try {
    return parseArgs({ args, options, strict: true, allowPositionals });
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).replaceAll('\n', ' ');
    const field = /'(?:-\w, )?(--[\w-]+|-\w)/.exec(reason)?.[1] ?? 'arguments';
    throw new ChunkwiseError('bad_request', { field, reason }, { cause });
  }
}

/** Throws `bad_request`. `field`: the flag, or a positional's name in capitals. */
export function refuse(field: string, reason: string): never {
  throw new ChunkwiseError('bad_request', { field, reason });
}

/** Returns the value of a required flag or positional. Errors: `bad_request` if it is missing. */
export function required(name: string, value: string | undefined): string {
  if (value !== undefined) return value;
  return refuse(/^[a-z]/.test(name) ? `--${name}` : name, 'is required');
}

/** A command's only positional. Errors: `bad_request` if it is missing, or if another follows. */
export function positional(name: string, [first, second]: readonly string[]): string {
  if (second === undefined) return required(name, first);
  return refuse(name, `takes one value, but ${JSON.stringify(second.slice(0, 100))} follows`);
}

/** A flag's number; undefined without the flag. Errors: `bad_request` if it is not a number or out of range. */
export function numberFlag(name: string, value: string | undefined, min = 0, max = Infinity): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() !== '' && number >= min && number <= max) return number;
  const range = max === Infinity ? `of at least ${min}` : `from ${min} to ${max}`;
  return refuse(`--${name}`, `must be a number ${range}, not ${JSON.stringify(value)}`);
}

/** A flag's integer; see `numberFlag`. */
export function wholeFlag(name: string, value: string | undefined, min = 0, max = Infinity): number | undefined {
  const number = numberFlag(name, value, min, max);
  if (number === undefined || Number.isSafeInteger(number)) return number;
  return refuse(`--${name}`, `must be a whole number, not ${JSON.stringify(value)}`);
}

/** A flag's value among `choices`; undefined without the flag. Errors: `bad_request`. */
export function choiceFlag<T extends string>(
  name: string,
  value: string | undefined,
  choices: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const choice = choices.find((known) => known === value);
  if (choice !== undefined) return choice;
  return refuse(`--${name}`, `must be one of ${choices.join(', ')}, not ${JSON.stringify(value)}`);
}

/** A flag's comma-separated integers; undefined without the flag. Errors: those of `wholeFlag`. */
export function listFlag(name: string, value: string | undefined, min = 0): number[] | undefined {
  return value?.split(',').map((item) => wholeFlag(name, item, min) as number);
}

/** Rejects flags that have no meaning here. Errors: `bad_request`. */
export function refuseFlags(values: Readonly<Record<string, unknown>>, names: readonly string[], reason: string): void {
  const given = names.find((name) => values[name] !== undefined);
  if (given !== undefined) refuse(`--${given}`, reason);
}

/** Reads a text file. Errors: `bad_file`. */
export function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ChunkwiseError('bad_file', { file: path, reason: `cannot be read: ${String(cause)}` }, { cause });
  });
}
