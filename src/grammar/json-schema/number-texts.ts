import type { GrammarBuilder, Sym } from '../grammar.ts';
import { GrammarError } from '../limits.ts';
import type { Regex, Regexes } from '../regex/regexes.ts';
import { commonMultiple, type Decimal, decimalOf, digitsOf, floorDivided, plainText } from './decimals.ts';
import type { NumberRange, NumberSet } from './numbers.ts';

/** Most states of an automaton that recognizes multiples. */
const MOST_STATES = 20_000;
/** Digits that a double distinguishes: the most bytes of a number that must be a multiple, or must not be one. */
const MOST_DIGITS = 15;
/** Most remainders beside which digits are counted: with more, the rules would be too many. */
const MOST_LIMITED = 20n;
/** Most last digits that are enumerated to recognize multiples. */
const MOST_LAST_DIGITS = 3;

/** JSON texts of numbers: an expression, and rules for texts without one. */
export interface NumberTexts {
  readonly regex: Regex;
  readonly rules: readonly Sym[];
}

/** Writes sets of numbers for one grammar. */
export class NumberWriter {
  readonly #known = new Map<string, { regex: Regex } | { rule: Sym }>();

  constructor(private readonly builder: GrammarBuilder) {}

  /** The texts of a set. Only an unconstrained number may have an exponent, and an integer has no point. */
  textsOf({ values, ranges }: NumberSet): NumberTexts {
    const { regexes } = this.builder;
    const parts = Array.from(values, (value) => regexes.text(plainText(value)));
    const rules: Sym[] = [];
    for (const range of ranges) {
      const texts = this.#range(range);
      if ('rule' in texts) rules.push(texts.rule);
      else parts.push(texts.regex);
    }
    return { regex: regexes.or(...parts), rules };
  }

  #range(range: NumberRange): { regex: Regex } | { rule: Sym } {
    const { least, most, aboveLeast, belowMost, integer, multiples, notMultiples, except } = range;
    const key = [least, most, aboveLeast, belowMost, integer, multiples, notMultiples, [...except]].join(';');
    let texts = this.#known.get(key);
    if (!texts) this.#known.set(key, (texts = this.#textsOfRange(range)));
    return texts;
  }

  #textsOfRange(range: NumberRange): { regex: Regex } | { rule: Sym } {
    const { builder } = this;
    const { regexes } = builder;
    const base = textsWithin(regexes, range);
    const multiple = reduced(commonMultiple(range.multiples));
    const multiples = multiple && multiplesAsRegex(regexes, multiple);
    // A double rounds a number with more digits, which may then be read as a multiple, or as none.
    const units = [...range.notMultiples.map(decimalOf), ...(multiple ? [multiple] : [])].map(({ digits }) => digits);
    const product = units.reduce((all, unit) => all * unit, 1n);
    const isLimited = (product > 1n || range.notMultiples.length > 0) && product <= MOST_LIMITED;
    const few = regexes.repeat(regexes.bytes([[0, 0xff]]), 0, MOST_DIGITS);
    const limited = isLimited ? regexes.and(base, few) : base;
    if (range.notMultiples.length === 0 && (!multiple || multiples !== undefined))
      return { regex: multiples === undefined ? base : regexes.and(limited, multiples) };
    const constraints = range.notMultiples.map((of) => ({ ...decimalOf(of), isMultiple: false }));
    if (multiple) constraints.push({ ...multiple, isMultiple: true });
    return { rule: multiplesAsRules(builder, limited, constraints) };
  }
}

function reduced(decimal: Decimal | undefined): Decimal | undefined {
  if (!decimal) return undefined;
  let { digits, places } = decimal;
  while (places > 0 && digits % 10n === 0n) [digits, places] = [digits / 10n, places - 1];
  return { digits, places };
}

const digit = (regexes: Regexes): Regex => regexes.bytes([[0x30, 0x39]]);
const digits = (regexes: Regexes): Regex => regexes.repeat(digit(regexes), 0, Infinity);
const digitsFrom = (regexes: Regexes, first: number, last: number): Regex =>
  regexes.bytes([[0x30 + first, 0x30 + last]]);
const optional = (regexes: Regexes, regex: Regex): Regex => regexes.repeat(regex, 0, 1);

/** Texts of the numbers in a range, regardless of multiples. Only an unconstrained number may have an exponent. */
function textsWithin(regexes: Regexes, range: NumberRange): Regex {
  const { least, most, integer, except, multiples, notMultiples } = range;
  let texts: Regex;
  if (integer) texts = integersWithin(regexes, range);
  else if (least === -Infinity && most === Infinity) {
    const isFree = except.size === 0 && multiples.length === 0 && notMultiples.length === 0;
    const exponent = regexes.concat(
      regexes.bytes([0x45, 0x65].map((byte) => [byte, byte] as const)),
      optional(regexes, regexes.bytes([0x2b, 0x2d].map((byte) => [byte, byte] as const))),
      regexes.repeat(digit(regexes), 1, Infinity),
    );
    texts = regexes.concat(
      optional(regexes, regexes.text('-')),
      wholeNumbers(regexes, 0n, undefined),
      optional(regexes, regexes.concat(regexes.text('.'), regexes.repeat(digit(regexes), 1, Infinity))),
      isFree ? optional(regexes, exponent) : regexes.empty,
    );
  } else texts = decimalsWithin(regexes, range);
  if (except.size === 0) return texts;
  const zero = regexes.text('0');
  const written = Array.from(except, (value) => {
    const text = plainText(value);
    const zeros = text.includes('.')
      ? regexes.repeat(zero, 0, Infinity)
      : optional(regexes, regexes.concat(regexes.text('.'), regexes.repeat(zero, 1, Infinity)));
    const sign = value === 0 ? optional(regexes, regexes.text('-')) : regexes.empty;
    return regexes.concat(sign, regexes.text(text), zeros);
  });
  return regexes.and(texts, regexes.not(regexes.or(...written)));
}

function integersWithin(regexes: Regexes, { least, most, aboveLeast, belowMost }: NumberRange): Regex {
  const low = least === -Infinity ? undefined : -floorInteger(decimalOf(-least), aboveLeast);
  const high = most === Infinity ? undefined : floorInteger(decimalOf(most), belowMost);
  const minus = regexes.text('-');
  if (low === undefined && high === undefined)
    return regexes.concat(optional(regexes, minus), wholeNumbers(regexes, 0n, undefined));
  const parts: Regex[] = [];
  if (low === undefined || low < 0n) {
    // -0 is allowed if both bounds are set, or neither.
    const nearest = high !== undefined && high < 0n ? -high : low !== undefined && high !== undefined ? 0n : 1n;
    parts.push(regexes.concat(minus, wholeNumbers(regexes, nearest, low === undefined ? undefined : -low)));
  }
  if (high === undefined || high >= 0n)
    parts.push(wholeNumbers(regexes, low === undefined || low < 0n ? 0n : low, high));
  return regexes.or(...parts);
}

/** The greatest integer that is at most the number or, if `isBelow`, below it. */
function floorInteger({ digits, places }: Decimal, isBelow: boolean): bigint {
  const unit = 10n ** BigInt(places);
  const floor = floorDivided(digits, unit);
  return isBelow && floor * unit === digits ? floor - 1n : floor;
}

/** Whole numbers from `low`, which is 0 or more, to `high`. */
function wholeNumbers(regexes: Regexes, low: bigint, high: bigint | undefined): Regex {
  if (high !== undefined && low > high) return regexes.nothing;
  const first = String(low);
  const last = high === undefined ? undefined : String(high);
  if (last?.length === first.length) return sameLength(regexes, first, last);
  const parts = [sameLength(regexes, first, '9'.repeat(first.length))];
  const longest = last === undefined ? Infinity : last.length - 1;
  if (longest > first.length)
    parts.push(regexes.concat(digitsFrom(regexes, 1, 9), regexes.repeat(digit(regexes), first.length, longest - 1)));
  if (last !== undefined) parts.push(sameLength(regexes, `1${'0'.repeat(last.length - 1)}`, last));
  return regexes.or(...parts);
}

/** Digit strings between two of the same length. */
function sameLength(regexes: Regexes, low: string, high: string): Regex {
  if (low === '') return regexes.empty;
  const [first, last] = [Number(low[0]), Number(high[0])];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (first === last) return regexes.concat(digitsFrom(regexes, first, first), sameLength(regexes, lowRest, highRest));
  const isFullLow = /^0*$/.test(lowRest);
  const isFullHigh = /^9*$/.test(highRest);
  const [from, to] = [isFullLow ? first : first + 1, isFullHigh ? last : last - 1];
  const parts: Regex[] = [];
  const { length } = lowRest;
  if (!isFullLow)
    parts.push(regexes.concat(digitsFrom(regexes, first, first), sameLength(regexes, lowRest, '9'.repeat(length))));
  if (from <= to)
    parts.push(regexes.concat(digitsFrom(regexes, from, to), regexes.repeat(digit(regexes), length, length)));
  if (!isFullHigh)
    parts.push(regexes.concat(digitsFrom(regexes, last, last), sameLength(regexes, '0'.repeat(length), highRest)));
  return regexes.or(...parts);
}

const ZERO: Decimal = { digits: 0n, places: 0 };

function decimalsWithin(regexes: Regexes, { least, most, aboveLeast, belowMost }: NumberRange): Regex {
  const parts: Regex[] = [];
  if (least < 0) {
    // Negative numbers are below zero: -0 is left out.
    const [nearest, isAbove] = most < 0 ? [decimalOf(-most), belowMost] : [ZERO, true];
    const farthest = least === -Infinity ? undefined : decimalOf(-least);
    parts.push(regexes.concat(regexes.text('-'), magnitudes(regexes, nearest, isAbove, farthest, aboveLeast)));
  }
  if (most > 0 || (most === 0 && !belowMost)) {
    const [low, isAbove] = least < 0 ? [ZERO, false] : [decimalOf(least), aboveLeast];
    const high = most === Infinity ? undefined : decimalOf(most);
    parts.push(magnitudes(regexes, low, isAbove, high, belowMost));
  }
  return regexes.or(...parts);
}

/** Numbers without a sign from `low` to `high`. `isAbove` and `isBelow` exclude the bounds. */
function magnitudes(
  regexes: Regexes,
  low: Decimal,
  isAbove: boolean,
  high: Decimal | undefined,
  isBelow: boolean,
): Regex {
  const from = digitsOf(low);
  const to = high && digitsOf(high);
  const fraction = (digits: Regex): Regex =>
    regexes.or(
      regexes.isNullable(digits) ? regexes.empty : regexes.nothing,
      regexes.concat(regexes.text('.'), regexes.withoutEmpty(digits)),
    );
  const above = atLeast(regexes, from.fraction, isAbove);
  if (!to) {
    return regexes.or(
      regexes.concat(regexes.text(from.whole), fraction(above)),
      regexes.concat(wholeNumbers(regexes, BigInt(from.whole) + 1n, undefined), fraction(digits(regexes))),
    );
  }
  const below = atMost(regexes, to.fraction, isBelow);
  if (from.whole === to.whole) return regexes.concat(regexes.text(from.whole), fraction(regexes.and(above, below)));
  return regexes.or(
    regexes.concat(regexes.text(from.whole), fraction(above)),
    regexes.concat(wholeNumbers(regexes, BigInt(from.whole) + 1n, BigInt(to.whole) - 1n), fraction(digits(regexes))),
    regexes.concat(regexes.text(to.whole), fraction(below)),
  );
}

/** Fraction digits of numbers that are at least 0.`bound` or, if `isAbove`, above it. */
function atLeast(regexes: Regexes, bound: string, isAbove: boolean): Regex {
  if (bound === '') {
    if (!isAbove) return digits(regexes);
    return regexes.concat(digits(regexes), digitsFrom(regexes, 1, 9), digits(regexes));
  }
  const first = Number(bound[0]);
  const same = regexes.concat(digitsFrom(regexes, first, first), atLeast(regexes, bound.slice(1), isAbove));
  if (first === 9) return same;
  return regexes.or(same, regexes.concat(digitsFrom(regexes, first + 1, 9), digits(regexes)));
}

/**
 * Fraction digits of numbers that are at most 0.`bound` or, if `isBelow`, below it. The bound does not end in 0, so
 * that a shorter prefix of it is below it.
 */
function atMost(regexes: Regexes, bound: string, isBelow: boolean): Regex {
  if (bound === '') return isBelow ? regexes.nothing : regexes.repeat(regexes.text('0'), 0, Infinity);
  const first = Number(bound[0]);
  const parts = [
    regexes.empty,
    regexes.concat(digitsFrom(regexes, first, first), atMost(regexes, bound.slice(1), isBelow)),
  ];
  if (first > 0) parts.push(regexes.concat(digitsFrom(regexes, 0, first - 1), digits(regexes)));
  return regexes.or(...parts);
}

/** Multiples of either sign, without exponents, if a few last digits determine them, as for 10, 5 and 0.01. */
function multiplesAsRegex(regexes: Regexes, { digits: unit, places }: Decimal): Regex | undefined {
  const sign = optional(regexes, regexes.text('-'));
  const some = regexes.repeat(digit(regexes), 1, Infinity);
  const zeros = regexes.concat(regexes.text('.'), regexes.repeat(regexes.text('0'), 1, Infinity));
  if (unit === 1n) {
    const point = regexes.concat(regexes.text('.'), regexes.repeat(digit(regexes), 1, places));
    return regexes.concat(sign, some, optional(regexes, places === 0 ? zeros : point));
  }
  if (places > 0) return undefined;
  for (let count = 1; count <= MOST_LAST_DIGITS; count++) {
    const range = 10n ** BigInt(count);
    if (range % unit !== 0n) continue;
    const texts: Regex[] = [];
    for (let multiple = 0n; multiple < range; multiple += unit) {
      const text = String(multiple);
      if (text.length < count) texts.push(regexes.text(text));
      texts.push(regexes.concat(digits(regexes), regexes.text(text.padStart(count, '0'))));
    }
    return regexes.concat(sign, regexes.or(...texts), optional(regexes, zeros));
  }
  return undefined;
}

/** A unit of which a number must be a multiple or, unless `isMultiple`, must not. */
interface Constraint extends Decimal {
  readonly isMultiple: boolean;
}

/** Rules for the texts of `base` that meet the constraints: one rule for each state of an automaton over digits. */
function multiplesAsRules(builder: GrammarBuilder, base: Regex, constraints: readonly Constraint[]): Sym {
  const { regexes } = builder;
  if (constraints.some(({ digits }) => digits > MOST_STATES))
    throw new GrammarError(`multipleOf of more than ${MOST_STATES} units is not supported`);
  const units = constraints.map(({ digits }) => Number(digits));
  /**
   * The expression left to match, the digits after the point (-1 before it), and the remainder for each constraint
   * (-1 if it can no longer be 0).
   */
  interface State {
    readonly regex: Regex;
    readonly places: number;
    readonly rests: readonly number[];
  }
  const rules = new Map<string, Sym>();
  const waiting: { state: State; rule: Sym }[] = [];
  const ruleOf = (state: State): Sym => {
    const key = `${state.regex},${state.places},${state.rests.join()}`;
    let rule = rules.get(key);
    if (rule === undefined) {
      if (rules.size >= MOST_STATES) throw new GrammarError('multipleOf takes too many states beside the bounds');
      builder.fuel.use(10);
      rules.set(key, (rule = builder.rule()));
      waiting.push({ state, rule });
    }
    return rule;
  };
  const mostPlaces = Math.max(...constraints.map(({ places }) => places));
  const afterDigit = (state: State, value: number): State | undefined => {
    const regex = regexes.derivative(state.regex, 0x30 + value);
    if (regex === regexes.nothing) return undefined;
    const rests: number[] = [];
    for (const [i, { places, isMultiple }] of constraints.entries()) {
      const rest = state.rests[i] ?? 0;
      if (state.places >= places) {
        if (isMultiple) return undefined;
        rests.push(value === 0 ? rest : -1);
      } else rests.push(rest < 0 ? rest : (rest * 10 + value) % (units[i] ?? 1));
    }
    return { regex, places: state.places < 0 ? -1 : Math.min(state.places + 1, mostPlaces), rests };
  };
  const mayEnd = ({ regex, places, rests }: State): boolean =>
    regexes.isNullable(regex) &&
    constraints.every((constraint, i) => {
      const rest = rests[i] ?? 0;
      const missing = constraint.places - Math.min(Math.max(places, 0), constraint.places);
      const isMultiple = rest >= 0 && (BigInt(rest) * 10n ** BigInt(missing)) % constraint.digits === 0n;
      return isMultiple === constraint.isMultiple;
    });
  const signs = ['-', '.'].map((char) => [char, builder.terminal(regexes.text(char))] as const);
  /** Terminals by the bit set of their digits. */
  const terminals = new Map<number, Sym>();
  const digitTerminal = (digits: number): Sym => {
    let symbol = terminals.get(digits);
    if (symbol === undefined) {
      const ranges = Array.from({ length: 10 }, (_, value) => 0x30 + value)
        .filter((_, value) => (digits >> value) & 1)
        .map((byte) => [byte, byte] as const);
      terminals.set(digits, (symbol = builder.terminal(regexes.bytes(ranges))));
    }
    return symbol;
  };
  const start = ruleOf({ regex: base, places: -1, rests: constraints.map(() => 0) });
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { state, rule } = next;
    /** For each next rule, one bit for each digit that leads to it. */
    const digitsTo = new Map<Sym, number>();
    for (let value = 0; value < 10; value++) {
      const after = afterDigit(state, value);
      if (!after) continue;
      const target = ruleOf(after);
      digitsTo.set(target, (digitsTo.get(target) ?? 0) | (1 << value));
    }
    const alternatives = Array.from(digitsTo, ([target, digits]) => [digitTerminal(digits), target]);
    for (const [char, symbol] of signs) {
      const regex = regexes.derivative(state.regex, char.charCodeAt(0));
      if (regex !== regexes.nothing)
        alternatives.push([symbol, ruleOf({ ...state, regex, places: char === '.' ? 0 : state.places })]);
    }
    if (mayEnd(state)) alternatives.push([]);
    builder.define(rule, alternatives);
  }
  return start;
}
