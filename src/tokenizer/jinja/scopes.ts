import { TemplateError } from './errors.ts';
import { type Expr, type For, partsOf, type Signature, type Statement, Symbols, type Target } from './nodes.ts';

/** Whether a filter or test of that name exists. */
export interface Names {
  hasFilter(name: string): boolean;
  hasTest(name: string): boolean;
}

/** Resolves the names of each scope and rejects what Jinja2 rejects before a run. */
export function findScopes(body: Statement[], names: Names): Symbols {
  const root = new Symbols();
  body.forEach((statement) => visit(statement, root));
  new Scopes(names).open(body, root);
  return root;
}

/** Effects of a statement on the names of its scope. */
function visit(node: Statement, symbols: Symbols): void {
  switch (node.kind) {
    case 'text':
    case 'break':
    case 'continue':
      return;
    case 'output':
      return read(node.expr, symbols);
    case 'set':
      read(node.value, symbols);
      return assign(node.target, symbols);
    case 'set-block':
      return assign(node.target, symbols);
    case 'for':
      return read(node.iterable, symbols);
    case 'if':
      // The first test belongs to the scope; later tests belong to their branches.
      node.branches.slice(0, 1).forEach(([test]) => read(test, symbols));
      return symbols.branches([
        (branch) => node.branches[0]?.[1].forEach((statement) => visit(statement, branch)),
        (branch) => {
          for (const one of node.branches.slice(1)) visit({ kind: 'if', branches: [one], otherwise: [] }, branch);
        },
        (branch) => node.otherwise.forEach((statement) => visit(statement, branch)),
      ]);
    case 'macro':
      return symbols.store(node.name);
    case 'call-block':
      if (node.call) read(node.call, symbols);
      return;
    case 'filter-block':
      return read(node.filter, symbols);
    case 'with':
      return node.values.forEach((value) => read(value, symbols));
  }
}

function read(expr: Expr, symbols: Symbols): void {
  if (expr.kind === 'name') symbols.load(expr.name);
  partsOf(expr).forEach((part) => read(part, symbols));
}

function assign(target: Target, symbols: Symbols, asParameter = false): void {
  if (target.kind === 'targets') target.items.forEach((item) => assign(item, symbols, asParameter));
  else if (target.kind === 'member') symbols.load(target.name);
  else if (asParameter) symbols.declare(target.name);
  else symbols.store(target.name);
}

/** Names among `names` that a body reads before it assigns them. */
export function findAsked(body: Statement[], names: readonly string[]): Set<string> {
  const open = new Set(names);
  const asked = new Set<string>();
  const readAll = (exprs: Expr[]): void => {
    for (const expr of exprs) {
      if (expr.kind === 'name' && open.has(expr.name)) asked.add(expr.name);
      readAll(partsOf(expr));
    }
  };
  const close = (target: Target): void => {
    if (target.kind === 'targets') target.items.forEach(close);
    else if (target.kind === 'name') open.delete(target.name);
  };
  const walk = (node: Statement): void => {
    switch (node.kind) {
      case 'output':
        return readAll([node.expr]);
      case 'set':
        close(node.target);
        return readAll([node.value]);
      case 'set-block':
        close(node.target);
        readAll(node.filter ? [node.filter] : []);
        return node.body.forEach(walk);
      case 'for':
        close(node.target);
        readAll([node.iterable]);
        [...node.body, ...node.otherwise].forEach(walk);
        return readAll(node.test ? [node.test] : []);
      case 'if':
        for (const [test, branch] of node.branches) {
          readAll([test]);
          branch.forEach(walk);
        }
        return node.otherwise.forEach(walk);
      case 'macro':
      case 'call-block':
        if (node.kind === 'call-block' && node.call) readAll([node.call]);
        node.params.forEach((name) => open.delete(name));
        readAll(node.defaults);
        return node.body.forEach(walk);
      case 'filter-block':
        node.body.forEach(walk);
        return readAll([node.filter]);
      case 'with':
        node.targets.forEach(close);
        readAll(node.values);
        return node.body.forEach(walk);
      case 'text':
      case 'break':
      case 'continue':
    }
  };
  body.forEach(walk);
  return asked;
}

class Scopes {
  constructor(private readonly names: Names) {}

  /** `isSoft`: inside an `if`, where an unknown filter fails only when it runs. */
  open(body: Statement[], symbols: Symbols, isSoft = false, isLoop = false): void {
    body.forEach((node) => this.#statement(node, symbols, isSoft, isLoop));
  }

  #statement(node: Statement, symbols: Symbols, isSoft: boolean, isLoop: boolean): void {
    switch (node.kind) {
      case 'text':
        return;
      case 'break':
      case 'continue':
        if (!isLoop) throw new TemplateError(`'${node.kind}' outside a loop`);
        return;
      case 'output':
        return this.#check(node.expr, isSoft);
      case 'set':
        return this.#check(node.value, isSoft);
      case 'set-block':
        this.#inner(node.body, node.symbols.within(symbols), isLoop);
        if (node.filter) this.#known(node.filter, node.symbols);
        return node.filter && this.#check(node.filter, false);
      case 'for':
        return this.#for(node, symbols, isSoft, isLoop);
      case 'if':
        for (const [test, branch] of node.branches) {
          this.#check(test, true);
          this.open(branch, symbols, true, isLoop);
        }
        return this.open(node.otherwise, symbols, true, isLoop);
      case 'macro':
        return this.#signature(node, symbols);
      case 'call-block':
        if (node.call) this.#check(node.call, isSoft);
        return this.#signature(node, symbols);
      case 'filter-block':
        this.#check(node.filter, false);
        node.body.forEach((statement) => visit(statement, node.symbols.within(symbols)));
        read(node.filter, node.symbols);
        return this.open(node.body, node.symbols, false, isLoop);
      case 'with':
        node.values.forEach((value) => this.#check(value, isSoft));
        node.targets.forEach((target) => assign(target, node.symbols.within(symbols), true));
        return this.#inner(node.body, node.symbols, isLoop);
    }
  }

  #inner(body: Statement[], symbols: Symbols, isLoop: boolean): void {
    body.forEach((statement) => visit(statement, symbols));
    this.open(body, symbols, false, isLoop);
  }

  #for(node: For, outer: Symbols, isSoft: boolean, isLoop: boolean): void {
    const { target, iterable, test, body, otherwise, isRecursive, symbols } = node;
    if (assigns(target, 'loop') || assignsIn(body, 'loop') || assignsIn(otherwise, 'loop'))
      throw new TemplateError("it assigns to 'loop' within a loop");
    this.#check(iterable, isSoft);
    if (isRecursive || findAsked(body, ['loop']).has('loop')) symbols.body.declare('loop');
    assign(target, symbols.body.within(outer), true);
    this.#inner(body, symbols.body, true);
    this.#inner(otherwise, symbols.otherwise.within(outer), isLoop && !isRecursive);
    if (!test) return;
    assign(target, symbols.test.within(outer), true);
    read(test, symbols.test);
    this.#check(test, false);
  }

  /** Jinja2 does not resolve names in the filter of a set block. */
  #known(expr: Expr, symbols: Symbols): void {
    if (expr.kind === 'name' && !symbols.knows(expr.name))
      throw new TemplateError(`'${expr.name}' is not known in a set block`);
    partsOf(expr).forEach((part) => this.#known(part, symbols));
  }

  #signature(node: Signature, outer: Symbols): void {
    const { params, defaults, body, special, symbols } = node;
    symbols.within(outer);
    if (new Set(params).size < params.length) throw new TemplateError('a parameter is named twice');
    params.forEach((name) => symbols.declare(name));
    defaults.forEach((value) => read(value, symbols));
    for (const name of ['caller', 'kwargs', 'varargs'])
      if (special.has(name) && !params.includes(name)) symbols.declare(name);
    defaults.forEach((value) => this.#check(value, false));
    this.#inner(body, symbols, false);
  }

  #check(expr: Expr, isSoft: boolean): void {
    if (expr.kind === 'filter' && !isSoft && !this.names.hasFilter(expr.name))
      throw new TemplateError(`no filter is named '${expr.name}'`);
    if (expr.kind === 'test' && !isSoft && !this.names.hasTest(expr.name))
      throw new TemplateError(`no test is named '${expr.name}'`);
    // Jinja2 folds constants and drops the rest.
    if ((expr.kind === 'and' || expr.kind === 'or') && expr.left.kind === 'const')
      if (Boolean(expr.left.value) === (expr.kind === 'or')) return;
    partsOf(expr).forEach((part) => this.#check(part, isSoft || expr.kind === 'cond'));
  }
}

const assigns = (target: Target, name: string): boolean =>
  target.kind === 'targets'
    ? target.items.some((item) => assigns(item, name))
    : target.kind === 'name' && target.name === name;

function assignsIn(body: Statement[], name: string): boolean {
  return body.some((node) => {
    switch (node.kind) {
      case 'set':
        return assigns(node.target, name);
      case 'set-block':
        return assigns(node.target, name) || assignsIn(node.body, name);
      case 'for':
        return assigns(node.target, name) || assignsIn(node.body, name) || assignsIn(node.otherwise, name);
      case 'if':
        return node.branches.some(([, branch]) => assignsIn(branch, name)) || assignsIn(node.otherwise, name);
      case 'macro':
      case 'call-block':
      case 'filter-block':
      case 'with':
        return assignsIn(node.body, name);
      default:
        return false;
    }
  });
}
