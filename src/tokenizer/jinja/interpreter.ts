import {
  bind,
  Callable,
  Dict,
  fail,
  isText,
  isTrue,
  iterate,
  type Kwargs,
  listOf,
  Markup,
  method,
  Namespace,
  positional,
  Range,
  sizeOf,
  sliced,
  textFor,
  textOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts';
import { LimitError, TemplateError, UnsupportedError } from './errors.ts';
import { findFilter, isFilter, type Running } from './filters.ts';
import type { Arguments, Expr, For, Signature, Statement, Symbols, Target } from './nodes.ts';
import { calculate, compare, getAttribute, getItem, negated, positive } from './operators.ts';
import { parse } from './parser.ts';
import { findScopes } from './scopes.ts';
import { findTest, TEST_NAMES } from './tests.ts';
import { isPlain, points } from './text.ts';

/** Deepest evaluation, well below the stack's limit, also in a worker. */
const MOST_DEPTH = 256;
/** Longest range, as in Jinja2's sandbox. */
const MOST_RANGE = 100_000;

export interface Program {
  readonly body: Statement[];
  readonly symbols: Symbols;
}

/** Throws TemplateError or UnsupportedError. */
export function compile(source: string): Program {
  const body = parse(source);
  const names = { hasFilter: isFilter, hasTest: (name: string) => TEST_NAMES.includes(name) };
  return { body, symbols: findScopes(body, names) };
}

/** Names of a scope at run time; undefined: not assigned yet. */
interface Scope {
  readonly symbols: Symbols;
  readonly values: Map<string, Value | undefined>;
  readonly around: Scope | undefined;
  /** Assignments here are visible to lookups of template variables. */
  readonly isTop: boolean;
}

/** How a body ended. */
type End = 'whole' | 'break' | 'continue';

/** Runs a template as Jinja2's immutable sandbox does. `variables`: values and functions. */
export class Interpreter implements Running {
  readonly #variables: Map<string, Value>;
  #written: string[] = [];
  #depth = 0;

  constructor(
    variables: ReadonlyMap<string, Value>,
    /** Throws once a template exceeds its steps. */
    readonly spend: (steps: number) => void,
  ) {
    this.#variables = new Map([...this.#globals(), ...variables]);
  }

  run({ body, symbols }: Program): string {
    const scope: Scope = { symbols, values: new Map(), around: undefined, isTop: true };
    return this.#capture(() => {
      this.#enter(scope);
      this.#body(body, scope);
    });
  }

  deeper<T>(what: () => T): T {
    if (++this.#depth > MOST_DEPTH) throw new LimitError(`it is nested more than ${MOST_DEPTH} deep`);
    try {
      return what();
    } finally {
      this.#depth--;
    }
  }

  getattr(object: Value, name: string): Value {
    return getAttribute(object, name, this);
  }

  getitem(object: Value, key: Value): Value {
    return getItem(object, key, this);
  }

  filter(name: string, value: Value, args: readonly Value[], kwargs: Kwargs): Value {
    const filter = findFilter(name);
    if (!filter) throw new TemplateError(`no filter is named '${name}'`);
    return filter(value, args, kwargs, this);
  }

  test(name: string, value: Value, args: readonly Value[], kwargs: Kwargs): boolean {
    if (name === 'filter' || name === 'test') {
      positional(name, 0, 0, args, kwargs);
      const text = textOf(value, name);
      return name === 'filter' ? isFilter(text) : TEST_NAMES.includes(text);
    }
    const test = findTest(name);
    if (!test) throw new TemplateError(`no test is named '${name}'`);
    return test(value, args, kwargs, this);
  }

  #globals(): Map<string, Value> {
    const globals: Record<string, (args: readonly Value[], kwargs: Kwargs) => Value> = {
      range: (args, kwargs) => {
        const [first = null, second, third = 1] = positional('range', 1, 3, args, kwargs);
        const [start, stop, step] = [
          second === undefined ? 0 : first,
          second === undefined ? first : second,
          third,
        ].map((part) => {
          if (typeof part !== 'number' && typeof part !== 'boolean') throw new TemplateError('range() takes integers');
          return Number(part);
        }) as [number, number, number];
        if (step === 0) throw new TemplateError('a range without steps');
        const range = new Range(start, stop, step);
        if (range.length > MOST_RANGE) throw new TemplateError(`a range of more than ${MOST_RANGE} steps`);
        return range;
      },
      dict: (args, kwargs) => this.#dict(args, kwargs),
      namespace: (args, kwargs) => {
        const namespace = new Namespace();
        for (const { items } of this.#dict(args, kwargs).items())
          this.#setAttribute(namespace, items[0] ?? null, items[1] ?? null);
        return namespace;
      },
    };
    for (const name of ['cycler', 'joiner', 'lipsum'])
      globals[name] = () => {
        throw new UnsupportedError(`the function '${name}'`);
      };
    return new Map(Object.entries(globals).map(([name, call]) => [name, method(call)]));
  }

  #dict(args: readonly Value[], kwargs: Kwargs): Dict {
    const [from] = positional('dict', 0, 1, args, new Map());
    const dict = new Dict();
    if (from instanceof Dict) for (const [hash, entry] of from.entries) dict.entries.set(hash, entry);
    else if (from instanceof Namespace) throw new UnsupportedError('a dict of a namespace');
    else if (from !== undefined) {
      for (const pair of listOf(from, this)) {
        const [key = null, value = null] = listOf(pair, this);
        if (sizeOf(pair) !== 2) throw new TemplateError('a dict takes pairs');
        dict.set(key, value);
      }
    }
    for (const [key, value] of kwargs) dict.set(key, value);
    this.spend(dict.entries.size);
    return dict;
  }

  #setAttribute(namespace: Namespace, name: Value, value: Value): void {
    if (typeof name !== 'string') throw new UnsupportedError(`a ${typeName(name)} as a name in a namespace`);
    if (name.startsWith('_')) throw new TemplateError(`a namespace cannot have '${name}'`);
    namespace.attributes.set(name, value);
  }

  /** Output of a run. */
  #capture(what: () => void): string {
    const outer = this.#written;
    this.#written = [];
    try {
      what();
      return this.#written.join('');
    } finally {
      this.#written = outer;
    }
  }

  #write(text: string): void {
    this.spend(1 + text.length / 4);
    this.#written.push(text);
  }

  /** A block's value must be a string; an output converts anything. */
  #writeText(value: Value): void {
    if (!isText(value)) throw new TemplateError(`a block gives a ${typeName(value)}, not a str`);
    this.#write(textFor(value, this));
  }

  #enter(scope: Scope): void {
    const { symbols, values, around } = scope;
    for (const [name, load] of symbols.loads) {
      if (load === 'param') continue;
      if (load === 'resolve') values.set(name, this.#variables.get(name));
      else values.set(name, load === 'alias' ? valueIn(around, name) : undefined);
    }
  }

  #inner(symbols: Symbols, around: Scope): Scope {
    const scope: Scope = { symbols, values: new Map(), around, isTop: false };
    this.#enter(scope);
    return scope;
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    this.spend(1);
    if (target.kind === 'name') {
      scope.values.set(target.name, value);
      if (scope.isTop) this.#variables.set(target.name, value);
    } else if (target.kind === 'member') {
      const namespace = valueIn(scope, target.name);
      if (namespace instanceof Namespace) this.#setAttribute(namespace, target.attribute, value);
    } else {
      const values = listOf(value, this);
      const { items } = target;
      if (values.length !== items.length)
        throw new TemplateError(
          values.length < items.length ? 'not enough values to unpack' : 'too many values to unpack',
        );
      items.forEach((item, i) => this.#assign(item, values[i] ?? null, scope));
    }
  }

  /** Jinja2 checks the target before it evaluates the value. */
  #checkNamespaces(target: Target, scope: Scope): void {
    if (target.kind === 'targets') target.items.forEach((item) => this.#checkNamespaces(item, scope));
    if (target.kind === 'member' && !(valueIn(scope, target.name) instanceof Namespace))
      throw new TemplateError('no namespace');
  }

  #body(body: readonly Statement[], scope: Scope): End {
    for (const statement of body) {
      const end = this.#statement(statement, scope);
      if (end !== 'whole') return end;
    }
    return 'whole';
  }

  #statement(node: Statement, scope: Scope): End {
    this.spend(1);
    switch (node.kind) {
      case 'text':
        this.#write(node.text);
        return 'whole';
      case 'output':
        this.#write(textFor(this.#evaluate(node.expr, scope), this));
        return 'whole';
      case 'set':
        this.#checkNamespaces(node.target, scope);
        this.#assign(node.target, this.#evaluate(node.value, scope), scope);
        return 'whole';
      case 'if': {
        for (const [test, body] of node.branches)
          if (isTrue(this.#evaluate(test, scope))) return this.deeper(() => this.#body(body, scope));
        return this.deeper(() => this.#body(node.otherwise, scope));
      }
      case 'for':
        return this.deeper(() => this.#for(node, scope));
      case 'macro':
        this.#assign({ kind: 'name', name: node.name }, this.#macro(node, scope, node.name), scope);
        return 'whole';
      case 'break':
      case 'continue':
        return node.kind;
      case 'set-block': {
        const inner = this.#inner(node.symbols, scope);
        const { filter } = node;
        return this.#block(node.body, inner, (text) => {
          const value = filter ? this.#evaluate(filter, inner, text) : text;
          this.#checkNamespaces(node.target, scope);
          this.#assign(node.target, value, scope);
        });
      }
      case 'filter-block': {
        const inner = this.#inner(node.symbols, scope);
        return this.#block(node.body, inner, (text) => this.#writeText(this.#evaluate(node.filter, inner, text)));
      }
      case 'with': {
        const values = node.values.map((value) => this.#evaluate(value, scope));
        const inner = this.#inner(node.symbols, scope);
        node.targets.forEach((target, i) => this.#assign(target, values[i] ?? null, inner));
        return this.deeper(() => this.#body(node.body, inner));
      }
      case 'call-block': {
        const caller = this.#macro(node, scope, undefined);
        const { call } = node;
        if (!call) this.#writeText(caller.call([], new Map()));
        else {
          const callee = this.#evaluate(call.callee, scope);
          const [args, kwargs] = this.#arguments(call.args, scope);
          if (kwargs.has('caller')) throw new TemplateError("'caller' is given twice");
          this.#writeText(this.#call(callee, args, new Map([...kwargs, ['caller', caller]])));
        }
        return 'whole';
      }
    }
  }

  /** Passes a block's output to `done`, unless a surrounding loop continued first. */
  #block(body: readonly Statement[], scope: Scope, done: (text: string) => void): End {
    let end: End = 'whole';
    const text = this.#capture(() => {
      end = this.deeper(() => this.#body(body, scope));
    });
    if (end === 'whole') done(text);
    return end;
  }

  #for(node: For, outer: Scope): End {
    if (!node.isRecursive) return this.#loop(node, this.#evaluate(node.iterable, outer), outer, undefined);
    const iterate = (value: Value, depth: number): string =>
      this.#capture(() =>
        this.deeper(() => this.#loop(node, value, outer, { depth, again: (inner) => iterate(inner, depth + 1) })),
      );
    this.#write(iterate(this.#evaluate(node.iterable, outer), 0));
    return 'whole';
  }

  #loop(node: For, iterable: Value, outer: Scope, recursion: Recursion | undefined): End {
    const scope: Scope = { symbols: node.symbols.body, values: new Map(), around: outer, isTop: false };
    const loop = new Loop(node.test ? this.#selected(node, iterable, outer) : iterate(iterable), {
      length: node.test ? undefined : sizeOf(iterable),
      recursion,
    });
    const hasLoop = node.symbols.body.loads.has('loop');
    let isEmpty = true;
    while (loop.next()) {
      this.spend(2);
      this.#enter(scope);
      this.#assign(node.target, loop.current, scope);
      if (hasLoop) scope.values.set('loop', loop.value);
      const end = this.#body(node.body, scope);
      if (end === 'break') break;
      // An iteration that continues early does not count, as in Jinja2.
      if (end === 'whole') isEmpty = false;
    }
    if (!isEmpty || node.otherwise.length === 0) return 'whole';
    return this.#body(node.otherwise, this.#inner(node.symbols.otherwise, outer));
  }

  *#selected({ target, test, symbols }: For, iterable: Value, outer: Scope): Generator<Value> {
    const scope = this.#inner(symbols.test, outer);
    const iterator = iterate(iterable);
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
      this.#assign(target, next.value, scope);
      if (!test || isTrue(this.#evaluate(test, scope))) yield next.value;
    }
  }

  #macro(node: Signature, around: Scope, name: string | undefined): Callable {
    const { params, defaults, body, special, symbols } = node;
    const call = (given: readonly Value[], named: Kwargs): Value => {
      const kwargs = new Map(named);
      const scope: Scope = { symbols, values: new Map(), around, isTop: false };
      for (const [i, param] of params.entries()) {
        if (given[i] !== undefined) scope.values.set(param, given[i]);
        else {
          scope.values.set(param, kwargs.get(param));
          kwargs.delete(param);
        }
      }
      if (special.has('caller') && !params.includes('caller')) {
        scope.values.set('caller', kwargs.get('caller') ?? new Undefined('caller is undefined'));
        kwargs.delete('caller');
      }
      if (special.has('kwargs')) {
        const rest = new Dict();
        for (const [key, value] of kwargs) rest.set(key, value);
        scope.values.set('kwargs', rest);
      } else {
        const [first] = kwargs.keys();
        if (first !== undefined) throw new TemplateError(`macro '${name ?? ''}' takes no keyword argument '${first}'`);
      }
      if (special.has('varargs')) scope.values.set('varargs', new Tuple(given.slice(params.length)));
      else if (given.length > params.length)
        throw new TemplateError(`macro '${name ?? ''}' takes not more than ${params.length} argument(s)`);
      return this.deeper(() =>
        this.#capture(() => {
          this.#enter(scope);
          params.forEach((param, i) => {
            if (scope.values.get(param) !== undefined) return;
            const value = defaults[i - (params.length - defaults.length)];
            const otherwise = value
              ? this.#evaluate(value, scope)
              : new Undefined(`parameter '${param}' was not provided`);
            scope.values.set(param, otherwise);
          });
          this.#body(body, scope);
        }),
      );
    };
    return new Callable(name === undefined ? '<Macro anonymous>' : `<Macro '${name}'>`, call, {
      name: () => name ?? null,
      arguments: () => new Tuple(params),
      caller: () => special.has('caller'),
      catch_kwargs: () => special.has('kwargs'),
      catch_varargs: () => special.has('varargs'),
      explicit_caller: () => params.includes('caller'),
    });
  }

  #call(callee: Value, args: readonly Value[], kwargs: Kwargs): Value {
    fail(callee);
    if (!(callee instanceof Callable)) throw new TemplateError(`${typeName(callee)} is not callable`);
    this.spend(4);
    return callee.call(args, kwargs);
  }

  #arguments({ args, kwargs, dynArgs, dynKwargs }: Arguments, scope: Scope): [Value[], Map<string, Value>] {
    const values = args.map((arg) => this.#evaluate(arg, scope));
    const named = new Map(kwargs.map(([name, value]): [string, Value] => [name, this.#evaluate(value, scope)]));
    if (dynArgs) values.push(...listOf(this.#evaluate(dynArgs, scope), this));
    if (dynKwargs) {
      const more = this.#evaluate(dynKwargs, scope);
      fail(more);
      if (!(more instanceof Dict)) throw new TemplateError('no mapping');
      for (const [key, value] of more.entries.values()) {
        if (typeof key !== 'string') throw new TemplateError('no str');
        if (named.has(key)) throw new TemplateError(`the argument '${key}' is given twice`);
        named.set(key, value);
      }
    }
    return [values, named];
  }

  /** `text`: the block's output, for a filter without an operand. */
  #evaluate(expr: Expr, scope: Scope, text?: string): Value {
    this.spend(1);
    if (++this.#depth > MOST_DEPTH) throw new LimitError(`it is nested more than ${MOST_DEPTH} deep`);
    const value = this.#value(expr, scope, text);
    this.#depth--;
    return value;
  }

  #value(expr: Expr, scope: Scope, text: string | undefined): Value {
    switch (expr.kind) {
      case 'const':
        return expr.value;
      case 'name': {
        const value = valueIn(scope, expr.name);
        if (value !== undefined) return value;
        if (expr.name === 'self') throw new UnsupportedError("the template's own blocks ('self')");
        return new Undefined(`'${expr.name}' is undefined`);
      }
      case 'list':
        return expr.items.map((item) => this.#evaluate(item, scope));
      case 'tuple':
        return new Tuple(expr.items.map((item) => this.#evaluate(item, scope)));
      case 'dict': {
        const dict = new Dict();
        for (const [key, value] of expr.pairs) dict.set(this.#evaluate(key, scope), this.#evaluate(value, scope));
        return dict;
      }
      case 'getattr':
        return this.getattr(this.#evaluate(expr.object, scope), expr.name);
      case 'getitem':
        return this.#item(this.#evaluate(expr.object, scope), this.#evaluate(expr.index, scope));
      case 'slice': {
        const object = this.#evaluate(expr.object, scope);
        const [start, stop, step] = [expr.start, expr.stop, expr.step].map((part) =>
          part ? this.#evaluate(part, scope) : null,
        );
        return this.#slice(object, start ?? null, stop ?? null, step ?? null);
      }
      case 'call': {
        const callee = this.#evaluate(expr.callee, scope);
        const [args, kwargs] = this.#arguments(expr.args, scope);
        return this.#call(callee, args, kwargs);
      }
      case 'filter': {
        const operand = expr.operand ? this.#evaluate(expr.operand, scope, text) : (text ?? '');
        const [args, kwargs] = this.#arguments(expr.args, scope);
        return this.filter(expr.name, operand, args, kwargs);
      }
      case 'test': {
        const operand = this.#evaluate(expr.operand, scope);
        const [args, kwargs] = this.#arguments(expr.args, scope);
        return this.test(expr.name, operand, args, kwargs);
      }
      case 'unary': {
        const operand = this.#evaluate(expr.operand, scope);
        return expr.operator === '-' ? negated(operand) : positive(operand);
      }
      case 'binary':
        return calculate(expr.operator, this.#evaluate(expr.left, scope), this.#evaluate(expr.right, scope), this);
      case 'concat': {
        const whole = expr.parts.map((part) => textFor(this.#evaluate(part, scope), this)).join('');
        this.spend(whole.length / 64);
        return whole;
      }
      case 'compare': {
        let left = this.#evaluate(expr.first, scope);
        for (const [operator, operand] of expr.rest) {
          const right = this.#evaluate(operand, scope);
          if (!compare(operator, left, right, this)) return false;
          left = right;
        }
        return true;
      }
      case 'and': {
        const left = this.#evaluate(expr.left, scope);
        return isTrue(left) ? this.#evaluate(expr.right, scope) : left;
      }
      case 'or': {
        const left = this.#evaluate(expr.left, scope);
        return isTrue(left) ? left : this.#evaluate(expr.right, scope);
      }
      case 'not':
        return !isTrue(this.#evaluate(expr.operand, scope));
      case 'cond': {
        if (isTrue(this.#evaluate(expr.test, scope))) return this.#evaluate(expr.then, scope);
        if (expr.otherwise) return this.#evaluate(expr.otherwise, scope);
        return new Undefined('an if without else is undefined');
      }
    }
  }

  #item(object: Value, key: Value): Value {
    if (typeof object === 'string') this.spend(object.length / 256);
    return this.getitem(object, key);
  }

  #slice(object: Value, start: Value, stop: Value, step: Value): Value {
    fail(object);
    if (object instanceof Markup || object instanceof Range)
      throw new UnsupportedError(`a slice of a ${typeName(object)}`);
    if (typeof object === 'string' && isPlain(object)) {
      const { first, step: by, count } = sliced(object.length, start, stop, step);
      this.spend(1 + (count + object.length) / 64);
      if (by === 1) return object.slice(first, first + count);
      return Array.from({ length: count }, (_, i) => object[first + i * by]).join('');
    }
    if (typeof object === 'string') {
      const characters = points(object);
      this.spend(object.length / 4);
      const { first, step: by, count } = sliced(characters.length, start, stop, step);
      return Array.from({ length: count }, (_, i) => characters[first + i * by]).join('');
    }
    const entries = object instanceof Tuple ? object.items : listIn(object);
    if (!entries) throw new TemplateError(`a ${typeName(object)} cannot be sliced`);
    const { first, step: by, count } = sliced(entries.length, start, stop, step);
    this.spend(count);
    const part = Array.from({ length: count }, (_, i) => entries[first + i * by] ?? null);
    return object instanceof Tuple ? new Tuple(part) : part;
  }
}

const listIn = (value: Value): readonly Value[] | undefined => (Array.isArray(value) ? value : undefined);

function valueIn(scope: Scope | undefined, name: string): Value | undefined {
  for (let at = scope; at; at = at.around) if (at.symbols.loads.has(name)) return at.values.get(name);
  return undefined;
}

function refuseLoop(name: string): never {
  throw new UnsupportedError(`loop.${name}`);
}

interface Recursion {
  depth: number;
  again(iterable: Value): string;
}

/** `loop`. It reads one entry ahead only for `nextitem` and `last`. */
class Loop {
  #index = -1;
  #before: Value | undefined;
  #current: Value | undefined;
  #ahead: IteratorResult<Value, unknown> | undefined;
  #length: number | undefined;
  readonly value: Callable;

  constructor(
    private iterator: Iterator<Value, unknown>,
    { length, recursion }: { length: number | undefined; recursion: Recursion | undefined },
  ) {
    this.#length = length;
    const position = {
      index: () => this.#index + 1,
      index0: () => this.#index,
      revindex: () => this.#size() - this.#index,
      revindex0: () => this.#size() - this.#index - 1,
      first: () => this.#index === 0,
      last: () => this.#peek().done === true,
      length: () => this.#size(),
      depth: () => (recursion?.depth ?? 0) + 1,
      depth0: () => recursion?.depth ?? 0,
      previtem: () => (this.#index === 0 ? new Undefined('previtem is undefined') : (this.#before ?? null)),
      nextitem: () => {
        const next = this.#peek();
        return next.done === true ? new Undefined('nextitem is undefined') : next.value;
      },
      cycle: () => refuseLoop('cycle'),
      changed: () => refuseLoop('changed'),
    };
    const call = (args: readonly Value[], kwargs: Kwargs): Value => {
      const [iterable = null] = bind('loop', ['iterable'], 1, args, kwargs);
      if (!recursion) throw new TemplateError('the loop is not recursive');
      return recursion.again(iterable);
    };
    this.value = new Callable(undefined, call, position, () => this.#size());
  }

  get current(): Value {
    return this.#current ?? null;
  }

  next(): boolean {
    const next = this.#peek();
    this.#ahead = undefined;
    if (next.done === true) return false;
    this.#index++;
    this.#before = this.#current;
    this.#current = next.value;
    return true;
  }

  #peek(): IteratorResult<Value, unknown> {
    return (this.#ahead ??= this.iterator.next());
  }

  #size(): number {
    if (this.#length !== undefined) return this.#length;
    const rest: Value[] = [];
    for (let next = this.iterator.next(); next.done !== true; next = this.iterator.next()) rest.push(next.value);
    this.iterator = rest.values();
    return (this.#length =
      rest.length + this.#index + 1 + (this.#ahead !== undefined && this.#ahead.done !== true ? 1 : 0));
  }
}
