import type { Interpreter } from '@huggingface/jinja';

export type Value = ReturnType<Interpreter['evaluate']>;

/**
 * Steps that any template may take, and more for each character that it is given; one takes 0.1 to 0.6 µs. Known templates
 * take 3 to 5 for a character of long conversations, 10 where they indent the JSON of tools.
 */
const STEPS = 250_000;
const STEPS_PER_CHARACTER = 16;
/** How deep lists and mappings may lie in each other. */
const MOST_DEPTH = 128;

/** Steps that filters take for each character or entry of what they are applied to. Of others the result is paid for. */
const FILTER_STEPS: Readonly<Record<string, number>> = {
  ...{ tojson: 1 / 4, string: 1 / 4, join: 1 / 4, indent: 1 / 4, replace: 1 / 8, unique: 1 / 4, sort: 4, dictsort: 4 },
  ...{ selectattr: 1 / 64, rejectattr: 1 / 64, map: 1 / 64 },
};
/** Filters whose arguments multiply what they take. */
const MULTIPLIED = ['tojson', 'join', 'indent', 'replace'];

interface Extent {
  /** Characters and entries. */
  size: number;
  depth: number;
  /** Nothing in it can change. */
  isFixed: boolean;
}

/** Counts what a template does, so that the same one is refused on every machine. */
export class TemplateBudget {
  readonly #steps: number;
  #left: number;
  /** Of lists and mappings that cannot change. */
  readonly #extents = new WeakMap<object, Extent>();
  /** Of methods that search in a text, its length. */
  readonly #methods = new WeakMap<object, number>();

  constructor(size: number) {
    this.#left = this.#steps = STEPS + STEPS_PER_CHARACTER * size;
  }

  spend(steps: number): void {
    this.#left -= steps;
    if (!(this.#left >= 0)) throw new Error(`it takes more than ${this.#steps} steps`);
  }

  /** Characters or entries. */
  sizeOf({ value }: Value): number {
    if (typeof value === 'string' || Array.isArray(value)) return value.length;
    return value instanceof Map ? value.size : 0;
  }

  /** Characters and entries, all that it holds included. */
  wholeOf(value: Value): number {
    return typeof value.value === 'string' ? value.value.length : this.#extentOf(value).size;
  }

  /** `first`: what it is applied to, as `value` or as text; `others`: product of the sizes of its arguments. */
  payForFilter(
    name: string,
    { first, firstValue, others }: { first: number; firstValue?: Value; others: number },
  ): void {
    const depth = name === 'tojson' && firstValue ? Math.max(1, this.#extentOf(firstValue).depth) : 1; // is indented by
    this.spend(first * (FILTER_STEPS[name] ?? 0) * (MULTIPLIED.includes(name) ? others * depth : 1));
  }

  /** Of what is read of a value: it may be a method, which the library makes along with all others. */
  payForMethod(method: Value, { value, builtins }: Value): void {
    if (method.type !== 'FunctionValue') return;
    this.spend(8);
    const isSearch = method === builtins.get('split') || method === builtins.get('replace');
    if (isSearch && typeof value === 'string') this.#methods.set(method, value.length);
  }

  /** The length of the text that it searches in, if it is a method that does. */
  methodSize(method: Value): number | undefined {
    return this.#methods.get(method);
  }

  #extentOf(value: Value, depth = 0): Extent {
    const known = this.#extents.get(value);
    if (known) return known;
    const inside = value.value;
    if (typeof inside === 'string') return { size: inside.length, depth: 0, isFixed: true };
    if (!Array.isArray(inside) && !(inside instanceof Map)) return { size: 0, depth: 0, isFixed: true };
    const extent: Extent = { size: 0, depth: 0, isFixed: value.type !== 'NamespaceValue' };
    const add = (part: Value): void => {
      this.spend(1); // a namespace is counted each time
      const inner =
        depth < MOST_DEPTH ? this.#extentOf(part, depth + 1) : { size: 0, depth: MOST_DEPTH, isFixed: false };
      extent.size += 1 + inner.size;
      extent.depth = Math.max(extent.depth, 1 + inner.depth);
      extent.isFixed &&= inner.isFixed;
    };
    if (Array.isArray(inside)) inside.forEach(add);
    else {
      for (const [key, part] of inside) {
        extent.size += key.length;
        add(part);
      }
    }
    if (extent.depth > MOST_DEPTH) throw new Error(`it has lists nested more than ${MOST_DEPTH} deep`);
    if (extent.isFixed) this.#extents.set(value, extent);
    return extent;
  }
}
