import type { Fuel } from '../limits.ts';
import type { Expression } from './expressions.ts';

/** An expression without parts: a regular expression, or a symbol that is compiled already. */
export type Leaf = Extract<Expression, { kind: 'regex' | 'symbol' }>;

/** The places between the leaves of a grammar's rules, with the transitions between them that need no text. */
export class Places {
  /** The places that each place reaches without text. */
  readonly #same: number[][] = [];
  readonly #leaves: { leaf: Leaf; begin: number; end: number }[] = [];
  readonly #rules = new Map<string, { begin: number; end: number }>();
  readonly #root: number;

  /**
   * The end of a rule leads to the end of every use of the rule, so results may contain more than can occur.
   * `isNullable`: whether a leaf may be empty.
   */
  constructor(
    rules: ReadonlyMap<string, Expression>,
    root: string,
    private readonly isNullable: (leaf: Leaf) => boolean,
    private readonly fuel: Fuel,
  ) {
    for (const name of rules.keys()) this.#rules.set(name, { begin: this.#place(), end: this.#place() });
    for (const [name, expression] of rules) {
      const rule = this.#rules.get(name);
      if (rule) this.#add(expression, rule.begin, rule.end);
    }
    this.#root = this.#rules.get(root)?.begin ?? this.#place();
  }

  /** Leaves that a regular expression may follow. */
  followed(): Set<Leaf> {
    const before: number[][] = this.#same.map(() => []);
    for (const [from, places] of this.#same.entries()) for (const to of places) before[to]?.push(from);
    const begins = this.#leaves.filter(({ leaf }) => leaf.kind === 'regex').map(({ begin }) => begin);
    const leadOn = this.#reached(begins, before);
    return new Set(this.#leaves.filter(({ end }) => leadOn.has(end)).map(({ leaf }) => leaf));
  }

  /** For each leaf, the leaves of `asked` that may begin at the same place. */
  besides(asked: ReadonlySet<Leaf>): Map<Leaf, Set<Leaf>> {
    const found = new Map<Leaf, Set<Leaf>>();
    const leafAt = new Map(this.#leaves.map(({ begin, leaf }) => [begin, leaf]));
    for (const start of [this.#root, ...this.#leaves.map(({ end }) => end)]) {
      const begun = [...this.#reached([start], this.#same)].flatMap((place) => leafAt.get(place) ?? []);
      const rivals = begun.filter((leaf) => asked.has(leaf));
      if (rivals.length === 0) continue;
      this.fuel.use(begun.length * rivals.length);
      for (const leaf of begun) {
        const known = found.get(leaf) ?? new Set();
        for (const rival of rivals) if (rival !== leaf) known.add(rival);
        found.set(leaf, known);
      }
    }
    return found;
  }

  #reached(starts: readonly number[], next: readonly (readonly number[])[]): Set<number> {
    const reached = new Set(starts);
    for (const place of reached) for (const other of next[place] ?? []) reached.add(other);
    this.fuel.use(reached.size);
    return reached;
  }

  #place(): number {
    return this.#same.push([]) - 1;
  }

  #join(from: number, to: number): void {
    this.#same[from]?.push(to);
  }

  #add(expression: Expression, from: number, to: number): void {
    switch (expression.kind) {
      case 'regex':
      case 'symbol': {
        const [begin, end] = [this.#place(), this.#place()];
        this.#leaves.push({ leaf: expression, begin, end });
        this.#join(from, begin);
        this.#join(end, to);
        if (this.isNullable(expression)) this.#join(from, to);
        break;
      }
      case 'rule': {
        const rule = this.#rules.get(expression.name);
        if (!rule) break;
        this.#join(from, rule.begin);
        this.#join(rule.end, to);
        break;
      }
      case 'sequence': {
        let before = from;
        for (const part of expression.parts) {
          const after = this.#place();
          this.#add(part, before, after);
          before = after;
        }
        this.#join(before, to);
        break;
      }
      case 'choice':
        for (const part of expression.parts) this.#add(part, from, to);
        break;
      case 'repeat': {
        const [begin, end] = [this.#place(), this.#place()];
        this.#join(from, begin);
        this.#join(end, to);
        if (expression.most > 1) this.#join(end, begin);
        if (expression.least === 0) this.#join(from, to);
        this.#add(expression.part, begin, end);
        break;
      }
    }
  }
}
