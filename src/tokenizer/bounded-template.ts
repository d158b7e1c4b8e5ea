import { LimitError, TemplateError } from './jinja/errors.ts';
import { compile, Interpreter, type Program } from './jinja/interpreter.ts';
import { strftime } from './jinja/strftime.ts';
import { Callable, fromJson, textOf, type Value } from './jinja/values.ts';

/** Longest template: the longest that are known have a quarter of it. */
const MOST_SOURCE = 1 << 17;
/**
 * Steps that any template may take, and more for each character that it is given; one takes 0.1 to 0.6 µs. Known templates
 * take 3 to 5 for a character of long conversations, 10 where they indent the JSON of tools.
 */
const STEPS = 250_000;
const STEPS_PER_CHARACTER = 16;

/** A chat template, which comes with a model: what it may do is bounded, whatever it says. */
export class BoundedTemplate {
  readonly #program: Program;

  /** Throws a TemplateError when it cannot be read, a LimitError when it is too long or deep, an UnsupportedError when Jinja2 could read it. */
  constructor(source: string) {
    if (source.length > MOST_SOURCE)
      throw new LimitError(`it has ${source.length} characters; at most ${MOST_SOURCE} are supported`);
    this.#program = compile(source);
  }

  /**
   * Writes what Python's Jinja2 writes, as transformers sets it up. `variables`: JSON; `refuse`: what the template's
   * `raise_exception` calls. `size`: of what is in `variables`, in characters; the more, the more it may do. Throws a
   * LimitError when it does too much, a TemplateError where Jinja2 refuses, an UnsupportedError where it would write
   * something.
   */
  render(variables: Record<string, unknown>, size: number, refuse: (reason: string) => never): string {
    const steps = STEPS + STEPS_PER_CHARACTER * size;
    let left = steps;
    const spend = (count: number): void => {
      left -= count;
      if (!(left >= 0)) throw new LimitError(`it takes more than ${steps} steps`);
    };
    const given = new Map<string, Value>([
      ['raise_exception', taking('message', (message) => refuse(textOf(message, 'raise_exception')))],
      [
        'strftime_now',
        taking('format', (format) => {
          const text = textOf(format, 'strftime_now');
          spend(16 + text.length);
          return strftime(new Date(), text);
        }),
      ],
    ]);
    for (const [name, value] of Object.entries(variables)) given.set(name, fromJson(value));
    return new Interpreter(given, spend).run(this.#program);
  }
}

/** A function of one argument, which may be named. */
function taking(param: string, call: (value: Value) => Value): Callable {
  return new Callable(undefined, (args, kwargs) => {
    const value = args[0] ?? kwargs.get(param);
    if (value === undefined || args.length + kwargs.size !== 1) throw new TemplateError(`it takes one ${param}`);
    return call(value);
  });
}
