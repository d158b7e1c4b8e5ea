import type { Value } from './values.ts';

export interface Arguments {
  args: Expr[];
  kwargs: [name: string, value: Expr][];
  dynArgs?: Expr | undefined;
  dynKwargs?: Expr | undefined;
}

export type ArithmeticOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**';
export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';

export type Expr =
  | { kind: 'const'; value: Value }
  | { kind: 'name'; name: string }
  | { kind: 'list' | 'tuple'; items: Expr[] }
  | { kind: 'dict'; pairs: [key: Expr, value: Expr][] }
  | { kind: 'getattr'; object: Expr; name: string }
  | { kind: 'getitem'; object: Expr; index: Expr }
  | { kind: 'slice'; object: Expr; start?: Expr | undefined; stop?: Expr | undefined; step?: Expr | undefined }
  | { kind: 'call'; callee: Expr; args: Arguments }
  | FilterExpr
  | { kind: 'test'; operand: Expr; name: string; args: Arguments }
  | { kind: 'unary'; operator: '+' | '-'; operand: Expr }
  | { kind: 'binary'; operator: ArithmeticOperator; left: Expr; right: Expr }
  | { kind: 'concat'; parts: Expr[] }
  | { kind: 'compare'; first: Expr; rest: [operator: CompareOperator, operand: Expr][] }
  | { kind: 'and' | 'or'; left: Expr; right: Expr }
  | { kind: 'not'; operand: Expr }
  | { kind: 'cond'; test: Expr; then: Expr; otherwise?: Expr | undefined };

/** Without an operand it filters a block's text. */
export interface FilterExpr {
  kind: 'filter';
  operand: Expr | undefined;
  name: string;
  args: Arguments;
}

export type Target =
  | { kind: 'name'; name: string }
  | { kind: 'member'; name: string; attribute: string }
  | { kind: 'targets'; items: Target[] };

export interface Signature {
  params: string[];
  /** Defaults of the last parameters. */
  defaults: Expr[];
  body: Statement[];
  /** Names among `caller`, `kwargs` and `varargs` that the body uses. */
  special: ReadonlySet<string>;
  symbols: Symbols;
}

export interface For {
  kind: 'for';
  target: Target;
  iterable: Expr;
  test: Expr | undefined;
  isRecursive: boolean;
  body: Statement[];
  otherwise: Statement[];
  symbols: { body: Symbols; otherwise: Symbols; test: Symbols };
}

export type Statement =
  | { kind: 'text'; text: string }
  | { kind: 'output'; expr: Expr }
  | { kind: 'set'; target: Target; value: Expr }
  | { kind: 'set-block'; target: Target; filter: Expr | undefined; body: Statement[]; symbols: Symbols }
  | For
  | { kind: 'if'; branches: [test: Expr, body: Statement[]][]; otherwise: Statement[] }
  | ({ kind: 'macro'; name: string } & Signature)
  /** Without a call: a `generation` block. */
  | ({ kind: 'call-block'; call: Extract<Expr, { kind: 'call' }> | undefined } & Signature)
  | { kind: 'filter-block'; filter: Expr; body: Statement[]; symbols: Symbols }
  | { kind: 'with'; targets: Target[]; values: Expr[]; body: Statement[]; symbols: Symbols }
  | { kind: 'break' | 'continue' };

/** Parts of an expression. */
export function partsOf(expr: Expr): Expr[] {
  switch (expr.kind) {
    case 'const':
    case 'name':
      return [];
    case 'list':
    case 'tuple':
      return expr.items;
    case 'dict':
      return expr.pairs.flat();
    case 'getattr':
      return [expr.object];
    case 'getitem':
      return [expr.object, expr.index];
    case 'slice':
      return present([expr.object, expr.start, expr.stop, expr.step]);
    case 'call':
      return [expr.callee, ...argumentsOf(expr.args)];
    case 'filter':
    case 'test':
      return [...present([expr.operand]), ...argumentsOf(expr.args)];
    case 'unary':
    case 'not':
      return [expr.operand];
    case 'binary':
    case 'and':
    case 'or':
      return [expr.left, expr.right];
    case 'concat':
      return expr.parts;
    case 'compare':
      return [expr.first, ...expr.rest.map(([, operand]) => operand)];
    case 'cond':
      return present([expr.test, expr.then, expr.otherwise]);
  }
}

const argumentsOf = ({ args, kwargs, dynArgs, dynKwargs }: Arguments): Expr[] =>
  present([...args, ...kwargs.map(([, value]) => value), dynArgs, dynKwargs]);
const present = (parts: (Expr | undefined)[]): Expr[] => parts.filter((part) => part !== undefined);

/**
 * Value of a name at the start of a scope: a parameter, a template variable, the outer scope's value, or unassigned.
 */
export type Load = 'param' | 'resolve' | 'alias' | 'undefined';

/**
 * Names of a scope. Jinja2 compiles templates to Python, where a name that is assigned anywhere in a scope is local to
 * it; after jinja2/idtracking.py.
 */
export class Symbols {
  loads = new Map<string, Load>();
  #stores = new Set<string>();

  constructor(private parent?: Symbols) {}

  /** Resolves names once the outer scope is known. */
  within(parent: Symbols): this {
    this.parent = parent;
    return this;
  }

  knows(name: string): boolean {
    return this.loads.has(name) || (this.parent?.knows(name) ?? false);
  }

  declare(name: string): void {
    this.#stores.add(name);
    this.loads.set(name, 'param');
  }

  store(name: string): void {
    this.#stores.add(name);
    if (!this.loads.has(name)) this.loads.set(name, this.parent?.knows(name) === true ? 'alias' : 'undefined');
  }

  load(name: string): void {
    if (!this.knows(name)) this.loads.set(name, 'resolve');
  }

  /** Branches of an `if` belong to the outer scope; each sees the names known before all of them. */
  branches(visits: ((branch: Symbols) => void)[]): void {
    const copies = visits.map((visit) => {
      const copy = new Symbols(this.parent);
      copy.loads = new Map(this.loads);
      copy.#stores = new Set(this.#stores);
      visit(copy);
      return copy;
    });
    const stored = new Set(copies.flatMap((copy) => [...copy.#stores]).filter((name) => !this.#stores.has(name)));
    for (const copy of copies) {
      for (const [name, load] of copy.loads) this.loads.set(name, load);
      for (const name of copy.#stores) this.#stores.add(name);
    }
    for (const name of stored) this.loads.set(name, this.parent?.knows(name) === true ? 'alias' : 'resolve');
  }
}
