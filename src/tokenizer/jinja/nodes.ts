import type { Symbols } from './symbols.ts';
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

/** Without an operand it is applied to the text of a block. */
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
  /** Of the last ones. */
  defaults: Expr[];
  body: Statement[];
  /** Which of `caller`, `kwargs` and `varargs` the body asks for. */
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
  /** Without a call it is a `generation` block. */
  | ({ kind: 'call-block'; call: Extract<Expr, { kind: 'call' }> | undefined } & Signature)
  | { kind: 'filter-block'; filter: Expr; body: Statement[]; symbols: Symbols }
  | { kind: 'with'; targets: Target[]; values: Expr[]; body: Statement[]; symbols: Symbols }
  | { kind: 'break' | 'continue' };

/** What an expression is made of. */
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
