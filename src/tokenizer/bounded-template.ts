import { Environment, Interpreter, parse, Template, tokenize } from '@huggingface/jinja';
import { TemplateBudget, type Value } from './template-budget.ts';

/** Longest template: the longest that are known have a quarter of it. */
const MOST_SOURCE = 1 << 17;
/** Longest run of blanks: the library reads one again from each of its blanks. */
const MOST_BLANKS = 512;
/** How deep blocks and calls may lie in each other: far from where the stack ends, in a worker too. */
const MOST_DEPTH = 256;

type Statement = Parameters<Interpreter['evaluate']>[0];
/** Of a node those fields that are looked at. */
interface Node {
  type: string;
  body?: Node[];
  operator?: { value: string };
  property?: Node;
  filter?: Node;
  callee?: Node;
  call?: Node;
  args?: Node[];
  argument?: Node;
  value?: unknown;
}

/** What is being evaluated, and what of its parts has been. */
interface Operation {
  node: Node;
  parts: number;
  /** Of the first part, or of the text of a block that a filter is applied to. */
  first: number;
  firstValue?: Value;
  /** Product of the sizes of the others. */
  others: number;
}

/** A chat template, which comes with a model: what it may do is bounded, whatever it says. */
export class BoundedTemplate {
  readonly #program: ReturnType<typeof parse>;
  /** Whose results are written out. */
  readonly #written = new WeakSet<object>();

  /** Throws an Error when it cannot be read. */
  constructor(source: string) {
    if (source.length > MOST_SOURCE)
      throw new Error(`it has ${source.length} characters; at most ${MOST_SOURCE} are supported`);
    if (source.match(/\s+/g)?.some(({ length }) => length > MOST_BLANKS))
      throw new Error(`it has more than ${MOST_BLANKS} blanks in a row`);
    this.#program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
    this.#findWritten(this.#program);
  }

  /** `size`: of what is in `variables`, in characters; the more, the more it may do. Throws an Error when it does too much. */
  render(variables: Record<string, unknown>, size: number): string {
    const budget = new TemplateBudget(size);
    const environment = new Environment();
    const globals = {
      true: true,
      True: true,
      false: false,
      False: false,
      none: null,
      None: null,
      ...functions(budget),
    };
    for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value);
    return new BoundedInterpreter(environment, budget, this.#written).run(this.#program).toString();
  }

  #findWritten(node: object): void {
    for (const [field, value] of Object.entries(node) as [string, unknown][]) {
      if (typeof value !== 'object' || value === null) continue;
      const isBlock = Array.isArray(value) && ['body', 'alternate', 'defaultBlock'].includes(field);
      if (isBlock) value.forEach((statement: object) => this.#written.add(statement));
      this.#findWritten(value instanceof Map ? [...value] : value);
    }
  }
}

/** The library's functions, without those that have no end. */
function functions(budget: TemplateBudget): Record<string, (...args: never[]) => unknown> {
  return {
    range(first: number, last?: number, step = 1): number[] {
      const [start, stop] = last === undefined ? [0, first] : [first, last];
      if (step === 0) throw new Error('range() step must not be zero');
      const length = Math.max(0, Math.ceil((stop - start) / step)) || 0;
      budget.spend(length);
      return Array.from({ length }, (_, i) => start + i * step);
    },
    strftime_now(format: string): string {
      budget.spend(1000 + format.length);
      return new Template('{{ strftime_now(format) }}').render({ format });
    },
  };
}

/** The library's interpreter, which pays for what it does before it is done, or at the latest once one thing is done. */
class BoundedInterpreter extends Interpreter {
  #operation: Operation | undefined;
  #depth = 0;

  constructor(
    environment: Environment,
    private readonly budget: TemplateBudget,
    private readonly written: WeakSet<object>,
  ) {
    super(environment);
  }

  override evaluate(statement: Statement, environment: Environment): Value {
    if (statement === undefined) return super.evaluate(statement, environment);
    const outer = this.#operation;
    const operation: Operation = { node: statement, parts: 0, first: 0, others: 1 };
    this.budget.spend(statement.type === 'Break' || statement.type === 'Continue' ? 20 : 1); // these are thrown
    if (++this.#depth > MOST_DEPTH) throw new Error(`it is nested more than ${MOST_DEPTH} deep`);
    this.#operation = operation;
    try {
      const value = super.evaluate(statement, environment);
      this.#payFor(value, operation);
      if (outer) this.#payForPart(outer, operation.node, value);
      return value;
    } finally {
      this.#operation = outer;
      this.#depth--;
    }
  }

  /** What was made, or only read. */
  #payFor(value: Value, { node, first, firstValue }: Operation): void {
    const { budget } = this;
    if (makes(node)) budget.spend(typeof value.value === 'string' ? value.value.length / 4 : budget.sizeOf(value));
    else budget.spend(budget.sizeOf(value) / 64);
    if (this.written.has(node)) budget.spend(budget.wholeOf(value) / 4);
    if (node.property?.type === 'SliceExpression') budget.spend(first / 2);
    if (node.type === 'MemberExpression' && firstValue) budget.payForMethod(value, firstValue);
  }

  /** What is about to be done with a part, once all of its sizes are known. */
  #payForPart(operation: Operation, part: Node, value: Value): void {
    const { budget } = this;
    const { node } = operation;
    const isWritten = this.written.has(part);
    const isFirst = operation.parts++ === 0;
    if (isFirst) operation.firstValue = value;
    switch (node.type) {
      case 'For':
        if (isFirst) budget.spend(6 * budget.sizeOf(value)); // each turn has scopes of its own
        return;
      case 'MemberExpression':
        if (isFirst) operation.first = budget.sizeOf(value);
        return;
      case 'BinaryExpression':
        return this.#payForOperand(operation, isFirst, value);
      case 'FilterExpression':
      case 'FilterStatement': {
        if (isFirst || isWritten) operation.first += budget.wholeOf(value);
        else
          operation.others *= Math.max(
            1,
            typeof value.value === 'number' ? Math.abs(value.value) : budget.wholeOf(value),
          );
        return budget.payForFilter(nameOf(node.filter), operation);
      }
      case 'CallExpression':
      case 'CallStatement': {
        if (isWritten) return;
        const method = budget.methodSize(value);
        if (method !== undefined) return budget.spend((method * operation.others) / 8);
        const args = node.args ?? node.call?.args ?? [];
        const isSpread = args.some((arg) => arg.type === 'SpreadExpression' && arg.argument === part);
        operation.others *= Math.max(1, budget.wholeOf(value)) ** (isSpread ? 2 : 1);
        return;
      }
    }
  }

  #payForOperand(operation: Operation, isFirst: boolean, value: Value): void {
    const { budget } = this;
    const operator = operation.node.operator?.value ?? '';
    if (operator === 'in' || operator === 'not in') {
      const size = value.value instanceof Map ? 1 : budget.wholeOf(value);
      if (isFirst) operation.first = Math.max(1, size);
      else budget.spend((operation.first * size) / 8);
    } else if (operator !== 'and' && operator !== 'or' && Array.isArray(value.value)) {
      budget.spend(budget.wholeOf(value) / 4); // as text, beside a text
    }
  }
}

/** Whether a node gives something new, rather than what is there. */
function makes(node: Node): boolean {
  switch (node.type) {
    case 'BinaryExpression':
      return node.operator?.value === '+' || node.operator?.value === '~';
    case 'MemberExpression':
      return node.property?.type === 'SliceExpression';
    case 'Identifier':
    case 'StringLiteral':
    case 'SelectExpression':
    case 'Ternary':
      return false;
    default:
      return true;
  }
}

/** Of a filter, with arguments or without. */
const nameOf = (filter: Node | undefined): string => String((filter?.callee ?? filter)?.value);
