/**
 * What a name is when a scope is entered: given by what opens the scope, looked up among the template's variables, what it
 * is in the scope around, or nothing yet.
 */
export type Load = 'param' | 'resolve' | 'alias' | 'undefined';

/**
 * The names of a scope. Jinja2 compiles templates to Python, where a name that a scope assigns anywhere belongs to that
 * scope throughout; after jinja2/idtracking.py.
 */
export class Symbols {
  #loads = new Map<string, Load>();
  #stores = new Set<string>();

  constructor(private parent?: Symbols) {}

  /** Once the scope around is known. */
  within(parent: Symbols): this {
    this.parent = parent;
    return this;
  }

  get loads(): ReadonlyMap<string, Load> {
    return this.#loads;
  }

  knows(name: string): boolean {
    return this.#loads.has(name) || (this.parent?.knows(name) ?? false);
  }

  declare(name: string): void {
    this.#stores.add(name);
    this.#loads.set(name, 'param');
  }

  store(name: string): void {
    this.#stores.add(name);
    if (!this.#loads.has(name)) this.#loads.set(name, this.parent?.knows(name) === true ? 'alias' : 'undefined');
  }

  load(name: string): void {
    if (!this.knows(name)) this.#loads.set(name, 'resolve');
  }

  /** The branches of an `if` belong to the scope around; each sees what was known before all of them. */
  branches(visits: ((branch: Symbols) => void)[]): void {
    const copies = visits.map((visit) => {
      const copy = new Symbols(this.parent);
      copy.#loads = new Map(this.#loads);
      copy.#stores = new Set(this.#stores);
      visit(copy);
      return copy;
    });
    const stored = new Set(copies.flatMap((copy) => [...copy.#stores]).filter((name) => !this.#stores.has(name)));
    for (const copy of copies) {
      for (const [name, load] of copy.#loads) this.#loads.set(name, load);
      for (const name of copy.#stores) this.#stores.add(name);
    }
    for (const name of stored) this.#loads.set(name, this.parent?.knows(name) === true ? 'alias' : 'resolve');
  }
}
