import { parseArgs } from 'node:util';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

/** A flag as parseArgs takes it, with what the help says of it. */
export interface Flag {
  type: 'string' | 'boolean';
  multiple?: boolean;
  short?: string;
  /** What stands for its value in the help. */
  value?: string;
  about: string;
}

export type Flags = Readonly<Record<string, Flag>>;

/** Parses a command's arguments. Errors: `bad_request` naming an unknown flag, a missing value, or an argument too many. */
export function parseFlags<T extends Flags>(args: string[], options: T, allowPositionals = false) {
  try {
    return parseArgs({ args, options, strict: true, allowPositionals });
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).replaceAll('\n', ' ');
    const field = /'(?:-\w, )?(--[\w-]+|-\w)/.exec(reason)?.[1] ?? 'arguments';
    throw new ChunkwiseError('bad_request', { field, reason }, { cause });
  }
}

/** Throws `bad_request`. `field`: the flag, or what is written in capitals. */
export function refuse(field: string, reason: string): never {
  throw new ChunkwiseError('bad_request', { field, reason });
}

/** Errors: `bad_request` when the flag is missing, or what is written in capitals. */
export function required(name: string, value: string | undefined): string {
  if (value !== undefined) return value;
  return refuse(/^[a-z]/.test(name) ? `--${name}` : name, 'is required');
}

/** What stands behind the command without a flag. Errors: `bad_request` where it is missing, or something follows it. */
export function positional(name: string, [first, second]: readonly string[]): string {
  if (second === undefined) return required(name, first);
  return refuse(name, `takes one value, but ${JSON.stringify(second.slice(0, 100))} follows`);
}

/** A flag's number, or undefined without it. Errors: `bad_request` when it is none or out of range. */
export function numberFlag(name: string, value: string | undefined, min = 0, max = Infinity): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() !== '' && number >= min && number <= max) return number;
  const range = max === Infinity ? `of at least ${min}` : `from ${min} to ${max}`;
  return refuse(`--${name}`, `must be a number ${range}, not ${JSON.stringify(value)}`);
}

/** The same of a whole number. */
export function wholeFlag(name: string, value: string | undefined, min = 0, max = Infinity): number | undefined {
  const number = numberFlag(name, value, min, max);
  if (number === undefined || Number.isSafeInteger(number)) return number;
  return refuse(`--${name}`, `must be a whole number, not ${JSON.stringify(value)}`);
}

/** One of `choices`, or undefined without the flag. Errors: `bad_request`. */
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

/** A flag's comma-separated whole numbers, or undefined without it. Errors: those of `wholeFlag`. */
export function listFlag(name: string, value: string | undefined, min = 0): number[] | undefined {
  return value?.split(',').map((item) => wholeFlag(name, item, min) as number);
}

/** Errors: `bad_request` where one of these flags is given, which mean nothing here. */
export function refuseFlags(values: Readonly<Record<string, unknown>>, names: readonly string[], reason: string): void {
  const given = names.find((name) => values[name] !== undefined);
  if (given !== undefined) refuse(`--${given}`, reason);
}
