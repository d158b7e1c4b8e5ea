import { LimitError, TemplateError, UnsupportedError } from './errors.ts';
import { type Token, tokenize } from './lexer.ts';
import {
  type Arguments,
  type ArithmeticOperator,
  type CompareOperator,
  type Expr,
  type Signature,
  type Statement,
  Symbols,
  type Target,
} from './nodes.ts';
import { findAsked } from './scopes.ts';

/** Deepest nesting of blocks and brackets, well below the stack's limit, also in a worker. */
const MOST_DEPTH = 200;

const COMPARE = ['==', '!=', '<', '<=', '>', '>='];
const CONSTANTS = new Map<string, boolean | null>([
  ...(['true', 'True'] as const).map((name) => [name, true] as const),
  ...(['false', 'False'] as const).map((name) => [name, false] as const),
  ...(['none', 'None'] as const).map((name) => [name, null] as const),
]);
/** Statements that need other templates or switch escaping on. */
const NOT_SUPPORTED = ['autoescape', 'block', 'extends', 'from', 'import', 'include'];
const END: Token = { type: 'end', text: '' };
const NOTHING: Arguments = { args: [], kwargs: [] };

/** Parses a template; the grammar is that of jinja2/parser.py with loop controls and `generation`. */
export function parse(source: string): Statement[] {
  return new Parser(tokenize(source)).template();
}

class Parser {
  #at = 0;
  #depth = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  template(): Statement[] {
    const body = this.#statements([]);
    if (this.#token !== END) this.#unexpected();
    return body;
  }

  get #token(): Token {
    return this.tokens[this.#at] ?? END;
  }

  get #next(): Token {
    return this.tokens[this.#at + 1] ?? END;
  }

  #unexpected(): never {
    const { type, text } = this.#token;
    throw new TemplateError(type === 'end' ? 'it ends too early' : `unexpected '${text || type}'`);
  }

  #is(type: string): boolean {
    return this.#token.type === type;
  }

  #isName(...names: string[]): boolean {
    return this.#token.type === 'name' && names.includes(this.#token.text);
  }

  #skip(type: string): boolean {
    const is = this.#is(type);
    if (is) this.#at++;
    return is;
  }

  #skipName(name: string): boolean {
    const is = this.#isName(name);
    if (is) this.#at++;
    return is;
  }

  #expect(type: string): Token {
    if (!this.#is(type)) this.#unexpected();
    return this.tokens[this.#at++] ?? END;
  }

  #expectName(name: string): void {
    if (!this.#skipName(name)) this.#unexpected();
  }

  #deeper<T>(what: () => T): T {
    if (++this.#depth > MOST_DEPTH) throw new LimitError(`it is nested more than ${MOST_DEPTH} deep`);
    try {
      return what();
    } finally {
      this.#depth--;
    }
  }

  /** Parses up to a tag of one of these names and past the name; or to the end. */
  #statements(ends: readonly string[]): Statement[] {
    const body: Statement[] = [];
    for (;;) {
      const { type, text } = this.#token;
      if (type === 'data') {
        this.#at++;
        body.push({ kind: 'text', text });
      } else if (this.#skip('{{')) {
        body.push({ kind: 'output', expr: this.#tuple() });
        this.#expect('}}');
      } else if (type === '{%') {
        if (this.#next.type === 'name' && ends.includes(this.#next.text)) {
          this.#at++;
          return body;
        }
        this.#at++;
        body.push(...this.#deeper(() => this.#statement()));
        this.#expect('%}');
      } else {
        if (ends.length > 0) throw new TemplateError(`it has no {% ${ends.join(' or ')} %}`);
        return body;
      }
    }
  }

  /** Parses from a tag's end to a tag of one of these names. */
  #body(...ends: string[]): Statement[] {
    this.#skip(':');
    this.#expect('%}');
    return this.#statements(ends);
  }

  /** Like `#body`, and past that tag's name. */
  #whole(end: string): Statement[] {
    const body = this.#body(end);
    this.#at++;
    return body;
  }

  #statement(): Statement[] {
    const name = this.#expect('name').text;
    if (NOT_SUPPORTED.includes(name)) throw new UnsupportedError(`the tag '${name}'`);
    switch (name) {
      case 'set':
        return [this.#set()];
      case 'for':
        return [this.#for()];
      case 'if':
        return [this.#if()];
      case 'macro': {
        const macro = this.#expect('name').text;
        this.#assignable(macro);
        return [{ kind: 'macro', name: macro, ...this.#signature(true, 'endmacro') }];
      }
      case 'call':
        return [this.#callBlock()];
      case 'filter': {
        const filter = this.#filters(undefined, true);
        return [{ kind: 'filter-block', filter, body: this.#whole('endfilter'), symbols: new Symbols() }];
      }
      case 'with':
        return [this.#with()];
      case 'print': {
        const outputs: Statement[] = [];
        while (!this.#is('%}')) {
          if (outputs.length > 0) this.#expect(',');
          outputs.push({ kind: 'output', expr: this.#expression() });
        }
        return outputs;
      }
      case 'generation':
        return [{ kind: 'call-block', call: undefined, ...this.#signature(false, 'endgeneration') }];
      case 'break':
      case 'continue':
        return [{ kind: name }];
      default:
        throw new TemplateError(`unknown tag '${name}'`);
    }
  }

  #set(): Statement {
    const target = this.#target([], true);
    if (this.#skip('=')) return { kind: 'set', target, value: this.#tuple() };
    const filter = this.#is('|') ? this.#filters(undefined, false) : undefined;
    return { kind: 'set-block', target, filter, body: this.#whole('endset'), symbols: new Symbols() };
  }

  #for(): Statement {
    const target = this.#target(['in'], false);
    this.#expectName('in');
    const iterable = this.#tuple({ isConditional: false, ends: ['recursive'] });
    const test = this.#skipName('if') ? this.#expression() : undefined;
    const isRecursive = this.#skipName('recursive');
    const body = this.#body('endfor', 'else');
    const otherwise = this.#expect('name').text === 'else' ? this.#whole('endfor') : [];
    const symbols = { body: new Symbols(), otherwise: new Symbols(), test: new Symbols() };
    return { kind: 'for', target, iterable, test, isRecursive, body, otherwise, symbols };
  }

  #if(): Statement {
    const branches: [Expr, Statement[]][] = [];
    for (;;) {
      const test = this.#tuple({ isConditional: false });
      branches.push([test, this.#body('elif', 'else', 'endif')]);
      const end = this.#expect('name').text;
      if (end === 'elif') continue;
      return { kind: 'if', branches, otherwise: end === 'else' ? this.#whole('endif') : [] };
    }
  }

  /** Parameters in brackets, then a body. */
  #signature(hasParameters: boolean, end: string, between?: () => void): Signature {
    const params: string[] = [];
    const defaults: Expr[] = [];
    if (hasParameters) {
      this.#expect('(');
      while (!this.#is(')')) {
        if (params.length > 0) this.#expect(',');
        const param = this.#expect('name').text;
        this.#assignable(param);
        if (this.#skip('=')) defaults.push(this.#expression());
        else if (defaults.length > 0) throw new TemplateError('a default is missing');
        params.push(param);
      }
      this.#expect(')');
    }
    between?.();
    const body = this.#whole(end);
    const asked = findAsked(body, ['caller', 'kwargs', 'varargs']);
    const special = new Set([...asked].filter((name) => name === 'caller' || !params.includes(name)));
    if (
      special.has('caller') &&
      params.includes('caller') &&
      params.indexOf('caller') < params.length - defaults.length
    )
      throw new TemplateError('a default is missing');
    return { params, defaults, body, special, symbols: new Symbols() };
  }

  #callBlock(): Statement {
    let call: Expr | undefined;
    const signature = this.#signature(this.#is('('), 'endcall', () => {
      call = this.#expression();
    });
    if (call?.kind !== 'call') throw new TemplateError('a call block calls nothing');
    return { kind: 'call-block', call, ...signature };
  }

  #with(): Statement {
    const targets: Target[] = [];
    const values: Expr[] = [];
    while (!this.#is('%}')) {
      if (targets.length > 0) this.#expect(',');
      targets.push(this.#target([], false));
      this.#expect('=');
      values.push(this.#expression());
    }
    return { kind: 'with', targets, values, body: this.#whole('endwith'), symbols: new Symbols() };
  }

  #assignable(name: string): void {
    if (CONSTANTS.has(name)) throw new TemplateError(`it assigns to ${name}`);
  }

  /** An assignment target: a name, a namespace's attribute, or several of these. */
  #target(ends: readonly string[], hasMembers: boolean): Target {
    const items: Target[] = [];
    let isSeveral = false;
    for (;;) {
      if (this.#isTupleEnd(ends)) break;
      items.push(this.#oneTarget(hasMembers));
      if (!this.#skip(',')) break;
      isSeveral = true;
    }
    const [first] = items;
    if (!isSeveral && first) return first;
    if (!isSeveral) this.#unexpected();
    return { kind: 'targets', items };
  }

  #oneTarget(hasMembers: boolean): Target {
    if (this.#skip('(')) {
      const target = this.#deeper(() =>
        this.#is(')') ? { kind: 'targets' as const, items: [] } : this.#target([], false),
      );
      this.#expect(')');
      return target;
    }
    const name = this.#expect('name').text;
    this.#assignable(name);
    if (!hasMembers || !this.#skip('.')) return { kind: 'name', name };
    return { kind: 'member', name, attribute: this.#expect('name').text };
  }

  #isTupleEnd(ends: readonly string[]): boolean {
    return this.#is('}}') || this.#is('%}') || this.#is(')') || this.#isName(...ends);
  }

  /** One or more expressions, separated by commas. */
  #tuple({ isConditional = true, ends = [] as readonly string[], isInBrackets = false } = {}): Expr {
    const items: Expr[] = [];
    let isTuple = false;
    for (;;) {
      if (this.#isTupleEnd(ends)) break;
      items.push(isConditional ? this.#expression() : this.#or());
      if (!this.#skip(',')) break;
      isTuple = true;
    }
    const [first] = items;
    if (!isTuple && first) return first;
    if (!isTuple && !isInBrackets) this.#unexpected();
    return { kind: 'tuple', items };
  }

  #expression(): Expr {
    return this.#deeper(() => {
      let expr = this.#or();
      while (this.#skipName('if')) {
        const test = this.#or();
        expr = { kind: 'cond', test, then: expr, otherwise: this.#skipName('else') ? this.#expression() : undefined };
      }
      return expr;
    });
  }

  #or(): Expr {
    let left = this.#and();
    while (this.#skipName('or')) left = { kind: 'or', left, right: this.#and() };
    return left;
  }

  #and(): Expr {
    let left = this.#not();
    while (this.#skipName('and')) left = { kind: 'and', left, right: this.#not() };
    return left;
  }

  #not(): Expr {
    if (!this.#skipName('not')) return this.#compare();
    return this.#deeper(() => ({ kind: 'not', operand: this.#not() }));
  }

  #compare(): Expr {
    const first = this.#sum();
    const rest: [CompareOperator, Expr][] = [];
    for (;;) {
      let operator: string;
      if (COMPARE.includes(this.#token.type)) operator = this.#expect(this.#token.type).type;
      else if (this.#skipName('in')) operator = 'in';
      else if (this.#isName('not') && this.#next.type === 'name' && this.#next.text === 'in') {
        this.#at += 2;
        operator = 'not in';
      } else return rest.length === 0 ? first : { kind: 'compare', first, rest };
      rest.push([operator as CompareOperator, this.#sum()]);
    }
  }

  #binary(operators: readonly ArithmeticOperator[], operand: () => Expr): Expr {
    let left = operand();
    for (;;) {
      const operator = operators.find((one) => this.#is(one));
      if (operator === undefined) return left;
      this.#at++;
      left = { kind: 'binary', operator, left, right: operand() };
    }
  }

  #sum(): Expr {
    return this.#binary(['+', '-'], () => this.#concat());
  }

  #concat(): Expr {
    const first = this.#product();
    const parts = [first];
    while (this.#skip('~')) parts.push(this.#product());
    return parts.length === 1 ? first : { kind: 'concat', parts };
  }

  #product(): Expr {
    return this.#binary(['*', '/', '//', '%'], () => this.#binary(['**'], () => this.#unary(true)));
  }

  #unary(hasFilters: boolean): Expr {
    let expr: Expr;
    if (this.#is('-') || this.#is('+')) {
      const operator = this.#expect(this.#token.type).type as '-' | '+';
      expr = { kind: 'unary', operator, operand: this.#deeper(() => this.#unary(false)) };
    } else expr = this.#primary();
    expr = this.#postfix(expr);
    if (!hasFilters) return expr;
    for (;;) {
      if (this.#is('|')) expr = this.#filters(expr, false);
      else if (this.#isName('is')) expr = this.#test(expr);
      else if (this.#is('(')) expr = { kind: 'call', callee: expr, args: this.#arguments() };
      else return expr;
    }
  }

  #primary(): Expr {
    const { type, text, value = null } = this.#token;
    this.#at++;
    switch (type) {
      case 'name': {
        const constant = CONSTANTS.get(text);
        return constant === undefined ? { kind: 'name', name: text } : { kind: 'const', value: constant };
      }
      case 'string': {
        let whole = text;
        while (this.#is('string')) whole += this.#expect('string').text;
        return { kind: 'const', value: whole };
      }
      case 'number':
        return { kind: 'const', value };
      case '(': {
        const expr = this.#deeper(() => this.#tuple({ isInBrackets: true }));
        this.#expect(')');
        return expr;
      }
      case '[':
        return { kind: 'list', items: this.#entries(']', () => this.#expression()) };
      case '{':
        return {
          kind: 'dict',
          pairs: this.#entries('}', () => {
            const key = this.#expression();
            this.#expect(':');
            return [key, this.#expression()];
          }),
        };
      default:
        this.#at--;
        return this.#unexpected();
    }
  }

  #entries<T>(end: string, entry: () => T): T[] {
    const entries: T[] = [];
    while (!this.#is(end)) {
      if (entries.length > 0) this.#expect(',');
      if (this.#is(end)) break;
      entries.push(entry());
    }
    this.#expect(end);
    return entries;
  }

  #postfix(object: Expr): Expr {
    let expr = object;
    for (;;) {
      if (this.#skip('.')) {
        const { type, text, value = null } = this.#token;
        if (type === 'name') expr = { kind: 'getattr', object: expr, name: text };
        else if (type === 'number' && typeof value === 'number')
          expr = { kind: 'getitem', object: expr, index: { kind: 'const', value } };
        else this.#unexpected();
        this.#at++;
      } else if (this.#skip('[')) expr = this.#subscript(expr);
      else if (this.#is('(')) expr = { kind: 'call', callee: expr, args: this.#arguments() };
      else return expr;
    }
  }

  #subscript(object: Expr): Expr {
    const items: Expr[] = [];
    let slice: Expr | undefined;
    while (!this.#is(']')) {
      if (items.length > 0 || slice) this.#expect(',');
      const start = this.#is(':') ? undefined : this.#expression();
      if (start && !this.#is(':')) {
        items.push(start);
        continue;
      }
      if (items.length > 0 || slice) throw new UnsupportedError('a slice beside another index');
      this.#expect(':');
      const isEnd = (): boolean => this.#is(']') || this.#is(',');
      const stop = this.#is(':') || isEnd() ? undefined : this.#expression();
      const step = this.#skip(':') && !isEnd() ? this.#expression() : undefined;
      slice = { kind: 'slice', object, start, stop, step };
    }
    this.#expect(']');
    if (slice && items.length > 0) throw new UnsupportedError('a slice beside another index');
    const [first] = items;
    return slice ?? { kind: 'getitem', object, index: items.length === 1 && first ? first : { kind: 'tuple', items } };
  }

  #arguments(): Arguments {
    const args: Expr[] = [];
    const kwargs: [string, Expr][] = [];
    let dynArgs: Expr | undefined;
    let dynKwargs: Expr | undefined;
    const ensure = (isRight: boolean): void => {
      if (!isRight) throw new TemplateError('arguments out of order');
    };
    this.#expect('(');
    for (let isFirst = true; !this.#is(')'); isFirst = false) {
      if (!isFirst) this.#expect(',');
      if (this.#is(')')) break;
      if (this.#skip('*')) {
        ensure(!dynArgs && !dynKwargs);
        dynArgs = this.#expression();
      } else if (this.#skip('**')) {
        ensure(!dynKwargs);
        dynKwargs = this.#expression();
      } else if (this.#is('name') && this.#next.type === '=') {
        ensure(!dynKwargs);
        const name = this.#token.text;
        if (kwargs.some(([other]) => other === name)) throw new TemplateError(`the argument '${name}' is given twice`);
        this.#at += 2;
        kwargs.push([name, this.#expression()]);
      } else {
        ensure(!dynArgs && !dynKwargs && kwargs.length === 0);
        args.push(this.#expression());
      }
    }
    this.#expect(')');
    return { args, kwargs, dynArgs, dynKwargs };
  }

  #dottedName(): string {
    let name = this.#expect('name').text;
    while (this.#skip('.')) name += `.${this.#expect('name').text}`;
    return name;
  }

  /** `isOpen`: the first filter has no `|` before it. */
  #filters(operand: Expr | undefined, isOpen: boolean): Expr {
    let expr = operand;
    for (let isFirst = isOpen; isFirst || this.#is('|'); isFirst = false) {
      if (!isFirst) this.#at++;
      const name = this.#dottedName();
      expr = { kind: 'filter', operand: expr, name, args: this.#is('(') ? this.#arguments() : NOTHING };
    }
    return expr ?? this.#unexpected();
  }

  #test(operand: Expr): Expr {
    this.#expectName('is');
    const isNegated = this.#skipName('not');
    const name = this.#dottedName();
    let args = NOTHING;
    if (this.#is('(')) args = this.#arguments();
    else if (['name', 'string', 'number', '[', '{'].includes(this.#token.type) && !this.#isName('else', 'or', 'and')) {
      if (this.#isName('is')) throw new TemplateError('tests cannot be chained');
      args = { args: [this.#postfix(this.#primary())], kwargs: [] };
    }
    const test: Expr = { kind: 'test', operand, name, args };
    return isNegated ? { kind: 'not', operand: test } : test;
  }
}
