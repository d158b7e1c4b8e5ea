import { TemplateError, UnsupportedError } from './errors.ts';
import { formatPercent } from './format.ts';
import type { ArithmeticOperator, CompareOperator } from './nodes.ts';
import { floatFloor, floatModulo, int, intFloor, intModulo } from './numbers.ts';
import { escapeHtml } from './text.ts';
import {
  contains,
  equals,
  fail,
  Float,
  isLess,
  isText,
  Markup,
  numberOf,
  Tuple,
  typeName,
  type Value,
  type Work,
} from './values.ts';

export function calculate(operator: ArithmeticOperator, left: Value, right: Value, work: Work): Value {
  // A string's % comes first: it prints an undefined value as an empty string.
  if (operator === '%' && typeof left === 'string') return formatPercent(left, right, work);
  fail(left);
  fail(right);
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) {
    return left instanceof Float || right instanceof Float ? ofFloats(operator, a, b) : ofInts(operator, a, b);
  }
  if (operator === '+') {
    const sum = joined(left, right, work);
    if (sum !== undefined) return sum;
  } else if (operator === '*') {
    const product =
      typeof left === 'number' || typeof left === 'boolean' ? repeated(right, left, work) : repeated(left, right, work);
    if (product !== undefined) return product;
  }
  if (left instanceof Markup || right instanceof Markup)
    throw new UnsupportedError(`'${operator}' of what safe or escape gave`);
  throw new TemplateError(`${typeName(left)} ${operator} ${typeName(right)}`);
}

function joined(left: Value, right: Value, work: Work): Value | undefined {
  if (typeof left === 'string' && typeof right === 'string') {
    work.spend((left.length + right.length) / 64);
    return left + right;
  }
  if (isText(left) && isText(right)) {
    const texts = [left, right].map((part) => (part instanceof Markup ? part.text : escapeHtml(part)));
    const whole = texts.join('');
    work.spend(whole.length);
    return new Markup(whole);
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    work.spend(left.length + right.length);
    return [...left, ...right];
  }
  if (left instanceof Tuple && right instanceof Tuple) {
    work.spend(left.items.length + right.items.length);
    return new Tuple([...left.items, ...right.items]);
  }
  return undefined;
}

/** A string or list repeated `count` times. */
function repeated(value: Value, times: Value, work: Work): Value | undefined {
  if (typeof times !== 'number' && typeof times !== 'boolean') return undefined;
  const count = Math.max(0, Number(times));
  if (typeof value === 'string') {
    work.spend((value.length * count) / 4);
    return value.repeat(value === '' ? 0 : count);
  }
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (!items) return undefined;
  work.spend(items.length * count);
  const all = items.length === 0 ? [] : Array.from({ length: count }, () => items).flat();
  return Array.isArray(value) ? all : new Tuple(all);
}

function ofFloats(operator: ArithmeticOperator, a: number, b: number): Float {
  if (b === 0 && ['/', '//', '%'].includes(operator)) throw new TemplateError('division by zero');
  switch (operator) {
    case '+':
      return new Float(a + b);
    case '-':
      return new Float(a - b);
    case '*':
      return new Float(a * b);
    case '/':
      return new Float(a / b);
    case '//':
      return new Float(floatFloor(a, b));
    case '%':
      return new Float(floatModulo(a, b));
    case '**':
      return new Float(floatPower(a, b));
  }
}

function ofInts(operator: ArithmeticOperator, a: number, b: number): Value {
  if (b === 0 && ['/', '//', '%'].includes(operator)) throw new TemplateError('division by zero');
  switch (operator) {
    case '+':
      return int(a + b);
    case '-':
      return int(a - b);
    case '*':
      return int(a * b);
    case '/':
      return new Float(a / b);
    case '//':
      return intFloor(a, b);
    case '%':
      return intModulo(a, b);
    case '**': {
      if (b < 0 && a === 0) throw new TemplateError('division by zero');
      const power = intPower(a, Math.abs(b));
      return b < 0 ? new Float(1 / power) : power;
    }
  }
}

function intPower(base: number, exponent: number): number {
  if (Math.abs(base) < 2) return base === 0 ? Number(exponent === 0) : exponent % 2 === 0 ? 1 : base;
  let power = 1;
  for (let i = 0; i < exponent; i++) power = int(power * base);
  return power;
}

/** Only where the last digit of the double is certain: JavaScript's power differs from C's. */
function floatPower(base: number, exponent: number): number {
  if (exponent === 0 || base === 1) return 1;
  if (exponent === 1) return base;
  if (exponent === 2) return base * base;
  if (exponent === 0.5 && base >= 0 && Number.isFinite(base)) return Math.sqrt(base);
  if (base === 0 && exponent < 0) throw new TemplateError('division by zero');
  if (exponent === -1) return 1 / base;
  throw new UnsupportedError(`${base} ** ${exponent} of floats`);
}

export function negated(value: Value): Value {
  fail(value);
  if (value instanceof Float) return new Float(-value.value);
  if (typeof value === 'number' || typeof value === 'boolean') return int(-Number(value));
  throw new TemplateError(`- of ${typeName(value)}`);
}

export function positive(value: Value): Value {
  fail(value);
  if (value instanceof Float || typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  throw new TemplateError(`+ of ${typeName(value)}`);
}

export function compare(operator: CompareOperator, left: Value, right: Value, work: Work): boolean {
  switch (operator) {
    case '==':
      return equals(left, right, work);
    case '!=':
      return !equals(left, right, work);
    case '<':
      return isLess(left, right, false, work);
    case '<=':
      return isLess(left, right, true, work);
    case '>':
      return isLess(right, left, false, work);
    case '>=':
      return isLess(right, left, true, work);
    case 'in':
      return contains(right, left, work);
    case 'not in':
      return !contains(right, left, work);
  }
}
