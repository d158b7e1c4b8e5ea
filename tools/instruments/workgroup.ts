/** Size and memory of a kernel's workgroups. */
export interface Workgroup {
  /** Invocations in x, y and z. */
  size: readonly [number, number, number];
  /** Bytes of workgroup memory as WebGPU counts them: each declared variable, rounded up to 16 bytes. */
  bytes: number;
}

interface Layout {
  size: number;
  align: number;
}

const WORKGROUP_SIZE = /@workgroup_size\(([^@{]*)\)\s*fn\s+main/;
const SHARED = /var<workgroup>\s*\w+\s*:\s*([^;]+);/g;
const SCALAR_BYTES: Readonly<Record<string, number>> = { u32: 4, i32: 4, f32: 4, f16: 2, u: 4, i: 4, f: 4, h: 2 };

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/** Reads a WGSL text. Throws for sizes that use functions or types unknown here. */
export function workgroupOf(text: string): Workgroup {
  const code = text.replaceAll(/\/\/.*$/gm, '');
  const constants = new Constants(code);
  const [x = 1, y = 1, z = 1] = splitTop(WORKGROUP_SIZE.exec(code)?.[1] ?? '1').map((part) => constants.value(part));
  const shared = [...code.matchAll(SHARED)].map(([, type = '']) => roundUp(layoutOf(type, code, constants).size, 16));
  return { size: [x, y, z], bytes: shared.reduce((sum, bytes) => sum + bytes, 0) };
}

/** https://www.w3.org/TR/WGSL/#alignment-and-size */
function layoutOf(type: string, code: string, constants: Constants): Layout {
  const own = type.trim();
  const array = /^array<(.+)>$/.exec(own)?.[1];
  if (array !== undefined) {
    const [element = '', count = ''] = splitTop(array);
    const { size, align } = layoutOf(element, code, constants);
    return { size: roundUp(size, align) * constants.value(count), align };
  }
  const atomic = /^atomic<(.+)>$/.exec(own)?.[1];
  if (atomic !== undefined) return layoutOf(atomic, code, constants);
  const vector = /^vec([234])(?:<(\w+)>|([fuih]))$/.exec(own);
  const bytes = SCALAR_BYTES[vector ? (vector[2] ?? vector[3] ?? '') : own];
  if (bytes !== undefined) {
    const lanes = Number(vector?.[1] ?? 1);
    return { size: bytes * lanes, align: bytes * (lanes === 3 ? 4 : lanes) };
  }
  const alias = new RegExp(`^alias ${own}\\s*=\\s*([^;]+);`, 'm').exec(code)?.[1];
  if (alias !== undefined) return layoutOf(alias, code, constants);
  const members = new RegExp(`^struct ${own}\\s*\\{([^}]*)\\}`, 'm').exec(code)?.[1];
  if (members === undefined) throw new Error(`type ${own} is not known`);
  let [end, widest] = [0, 1];
  for (const member of splitTop(members)) {
    const { size, align } = layoutOf(member.slice(member.indexOf(':') + 1), code, constants);
    end = roundUp(end, align) + size;
    widest = Math.max(widest, align);
  }
  return { size: roundUp(end, widest), align: widest };
}

/** Splits a list at commas outside brackets. */
function splitTop(list: string): string[] {
  const parts: string[] = [];
  let [depth, from] = [0, 0];
  for (let at = 0; at < list.length; at++) {
    if ('(<'.includes(list[at]!)) depth++;
    if (')>'.includes(list[at]!)) depth--;
    if (list[at] === ',' && depth === 0) {
      parts.push(list.slice(from, at));
      from = at + 1;
    }
  }
  return [...parts, list.slice(from)].filter((part) => part.trim() !== '');
}

type Value = number;

/** WGSL functions that sizes may use. */
const FUNCTIONS: Readonly<Record<string, (...values: Value[]) => Value>> = {
  max: Math.max,
  min: Math.min,
  select: (otherwise, then, condition) => (condition ? then : otherwise),
  u32: Math.trunc,
  f32: (value) => value,
};

/** Operators from the lowest to the highest precedence. Numbers are integers: quotients are truncated. */
const OPERATORS: readonly Readonly<Record<string, (a: Value, b: Value) => Value>>[] = [
  { '||': (a, b) => a || b },
  { '&&': (a, b) => a && b },
  { '==': (a, b) => Number(a === b), '!=': (a, b) => Number(a !== b) },
  {
    '<': (a, b) => Number(a < b),
    '>': (a, b) => Number(a > b),
    '<=': (a, b) => Number(a <= b),
    '>=': (a, b) => Number(a >= b),
  },
  { '|': (a, b) => a | b, '&': (a, b) => a & b },
  { '<<': (a, b) => a << b, '>>': (a, b) => a >>> b },
  { '+': (a, b) => a + b, '-': (a, b) => a - b },
  { '*': (a, b) => a * b, '/': (a, b) => Math.trunc(a / b), '%': (a, b) => a % b },
];

/** A module's integer constants by name. */
class Constants {
  readonly #texts: ReadonlyMap<string, string>;

  constructor(code: string) {
    const declared = code.matchAll(/^const (\w+)(?:\s*:\s*\w+)?\s*=\s*([^;]+);/gm);
    this.#texts = new Map([...declared].map(([, name = '', text = '']) => [name, text]));
  }

  value(expression: string): Value {
    const tokens = expression.match(/\d+(?:\.\d+)?|[A-Za-z_]\w*|<<|>>|[<>=!]=|&&|\|\||\S/g) ?? [];
    // Drops type suffixes of numbers.
    const own = tokens.filter((token, i) => !(/^[uif]$/.test(token) && /^\d/.test(tokens[i - 1] ?? '')));
    const value = this.#binary(own, 0);
    if (own.length > 0) throw new Error(`${expression}: ${own[0]} is not known`);
    return value;
  }

  #binary(tokens: string[], level: number): Value {
    const operators = OPERATORS[level];
    if (!operators) return this.#single(tokens);
    let value = this.#binary(tokens, level + 1);
    for (let apply = operators[tokens[0] ?? '']; apply; apply = operators[tokens[0] ?? '']) {
      tokens.shift();
      value = apply(value, this.#binary(tokens, level + 1));
    }
    return value;
  }

  #single(tokens: string[]): Value {
    const token = tokens.shift() ?? '';
    if (/^\d/.test(token)) return Number(token);
    if (token === '(') {
      const value = this.#binary(tokens, 0);
      tokens.shift();
      return value;
    }
    if (token === '!') return Number(!this.#single(tokens));
    if (token === '-') return -this.#single(tokens);
    if (token === 'true' || token === 'false') return Number(token === 'true');
    if (tokens[0] === '(') return this.#call(token, tokens);
    const text = this.#texts.get(token);
    if (text === undefined) throw new Error(`constant ${token} is not known`);
    return this.value(text);
  }

  #call(name: string, tokens: string[]): Value {
    const apply = FUNCTIONS[name];
    if (!apply) throw new Error(`function ${name} is not known`);
    const values: Value[] = [];
    do {
      tokens.shift();
      values.push(this.#binary(tokens, 0));
    } while (tokens[0] === ',');
    tokens.shift();
    return apply(...values);
  }
}
