import { TemplateError } from './errors.ts';
import { Callable, indexOf, type Kwargs, textOf, typeName, type Value } from './values.ts';

/** The values of named parameters; of those left out, undefined. `least`: how many must be given. */
export function bind(
  name: string,
  params: readonly string[],
  least: number,
  args: readonly Value[],
  kwargs: Kwargs,
): (Value | undefined)[] {
  if (args.length > params.length) throw new TemplateError(`${name}() takes at most ${params.length} arguments`);
  const values: (Value | undefined)[] = params.map((_, i) => args[i]);
  for (const [key, value] of kwargs) {
    const at = params.indexOf(key);
    if (at < 0 || at < args.length) throw new TemplateError(`${name}() does not take '${key}'`);
    values[at] = value;
  }
  for (let i = 0; i < least; i++)
    if (values[i] === undefined) throw new TemplateError(`${name}() needs '${params[i] ?? ''}'`);
  return values;
}

/** The same of a function whose arguments have no names. */
export function positional(
  name: string,
  least: number,
  most: number,
  args: readonly Value[],
  kwargs: Kwargs,
): readonly Value[] {
  if (kwargs.size > 0) throw new TemplateError(`${name}() takes no keyword arguments`);
  if (args.length < least || args.length > most)
    throw new TemplateError(`${name}() takes ${least === most ? least : `${least} to ${most}`} arguments`);
  return args;
}

export const method = (call: (args: readonly Value[], kwargs: Kwargs) => Value): Callable =>
  new Callable(undefined, call);

export const optionalText = (value: Value | undefined, of: string): string | undefined =>
  value === undefined || value === null ? undefined : textOf(value, of);

export const optionalIndex = (value: Value | undefined, otherwise: number, of: string): number =>
  value === undefined ? otherwise : indexOf(value, of);

export function textsOf(values: readonly Value[], of: string): string[] {
  return values.map((value) => {
    if (typeof value !== 'string') throw new TemplateError(`${of} takes strs, not ${typeName(value)}`);
    return value;
  });
}
