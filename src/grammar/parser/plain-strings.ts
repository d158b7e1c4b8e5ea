import { AND, BYTES, CONCAT, EMPTY, NOT, NOTHING, OR, REPEAT, SURELY_MATCHES } from '../regex/nodes.ts';
import type { Regex, Regexes } from '../regex/regexes.ts';
import { PLAIN_NEXT, PLAIN_STATES } from './token-trie.ts';

/** Bounds on the number of consecutive plain characters of a JSON string that may come. */
export interface PlainCharacters {
  /** Any plain characters up to this number may come; 0 to Infinity. */
  readonly least: number;
  /** More never come, and a match does not end with them; Infinity: not known. */
  readonly most: number;
}

/** Deepest recursion of queries about an expression. */
const DEEPEST = 40;
/** Most cached results of each kind. */
const MOST_KEPT = 20_000;
/** Most parts of a sequence that are visited. */
const LONGEST_SEQUENCE = 4096;

/**
 * Finds from the form of expressions how many plain characters they take. That is faster than by derivatives, since
 * strings of at most 4,000 characters have 4,000 states. Other expressions count as unknown.
 */
export class PlainStrings {
  readonly #regexes: Regexes;
  /** For each state of reading plain characters, a byte of each class that may come, and the next state. */
  readonly #steps: readonly (readonly (readonly [byte: number, next: number])[])[];
  readonly #ofBody = new Map<Regex, BodyKind>();
  readonly #beginsOutside = new Map<Regex, boolean>();
  readonly #shortest = new Map<Regex, number>();
  readonly #staying = new Map<Regex, Regex | undefined>();

  constructor(regexes: Regexes, classOf: Uint8Array) {
    this.#regexes = regexes;
    this.#steps = plainSteps(classOf).map((steps) =>
      steps.map(([byteClass, next]) => [classOf.indexOf(byteClass), next]),
    );
  }

  /** Plain characters at the beginning of the matches of `regex`, which has matches. */
  of(regex: Regex): PlainCharacters {
    for (const kept of [this.#beginsOutside, this.#shortest, this.#staying]) if (kept.size > MOST_KEPT) kept.clear();
    return this.#characters(regex, 0);
  }

  #characters(regex: Regex, depth: number): PlainCharacters {
    const { nodes } = this.#regexes;
    if (depth > DEEPEST) return UNKNOWN;
    switch (nodes.kind[regex]) {
      case CONCAT: {
        const head = nodes.first[regex]!;
        if (nodes.kind[head] === REPEAT) return this.#repeated(head, nodes.second[regex]!);
        return { least: this.#characters(head, depth + 1).least, most: Infinity };
      }
      case REPEAT:
        return this.#repeated(regex, this.#regexes.empty);
      case OR: {
        let least = 0;
        let most = 0;
        for (const part of nodes.partsOf(regex)) {
          const characters = this.#characters(part, depth + 1);
          least = Math.max(least, characters.least);
          most = Math.max(most, characters.most);
        }
        return { least, most };
      }
      case AND:
        return { least: this.#leastOfAll(nodes.partsOf(regex), depth), most: Infinity };
      default:
        return UNKNOWN;
    }
  }

  /** The plain characters of a repetition that `tail` follows. */
  #repeated(head: Regex, tail: Regex): PlainCharacters {
    const { nodes } = this.#regexes;
    const body = this.#bodyKind(nodes.first[head]!);
    if (body === 'other') return UNKNOWN;
    const count = nodes.third[head]! < 0 ? Infinity : nodes.third[head]!;
    const isLimited = body === 'one' && !this.#regexes.isNullable(tail) && this.#isOutsideAtBeginning(tail);
    return { least: count, most: isLimited ? count : Infinity };
  }

  /**
   * The `least` of a nonempty intersection of `parts`. Two kinds of parts are supported: repetitions of any character,
   * and parts that match after any prefix (lookaheads: `.*x.*`). Excluded strings of limited length are ignored if the
   * repetitions have no limit.
   */
  #leastOfAll(parts: Int32Array, depth: number): number {
    const regexes = this.#regexes;
    const { nodes } = regexes;
    let least = 0;
    let most = Infinity;
    let hasExcluded = false;
    const possible: Regex[] = [];
    for (const part of parts) {
      const first = nodes.first[part]!;
      const kind = nodes.kind[part]!;
      if (kind === NOT) {
        if (this.#longest(first, depth + 1) === Infinity) return 0;
        hasExcluded = true;
      } else if (kind === REPEAT && nodes.third[part]! >= 0) {
        if (this.#bodyKind(first) !== 'one') return 0;
        least = Math.max(least, nodes.second[part]!);
        most = Math.min(most, nodes.third[part]!);
      } else {
        const stays = this.#stayingPart(part, depth + 1);
        if (stays === undefined) return 0;
        possible.push(stays);
      }
    }
    if (most === Infinity) {
      // Any prefix may precede a match, so some matches are longer than all excluded strings.
      const isKnown = possible.every((part) => parts.includes(part));
      return isKnown || !regexes.isEmptyLanguage(regexes.and(...possible)) ? Infinity : 0;
    }
    // The concatenation of a shortest match of each part matches all of them.
    const isSimple = possible.length === 1 || possible.every((part) => this.#endsWithMany(part));
    if (!isSimple || hasExcluded || least > most) return 0;
    return Math.max(
      0,
      possible.reduce((left, part) => left - this.#shortestPlain(part, depth + 1), most),
    );
  }

  /** A part of `regex` whose matches also match after any plain characters; undefined: none found. */
  #stayingPart(regex: Regex, depth: number): Regex | undefined {
    const { nodes } = this.#regexes;
    if (depth > DEEPEST) return undefined;
    const head = nodes.kind[regex] === CONCAT ? nodes.first[regex]! : regex;
    if (this.#isMany(head)) return regex;
    if (nodes.kind[regex] !== OR) return undefined;
    if (this.#staying.has(regex)) return this.#staying.get(regex);
    const parts = [...nodes.partsOf(regex)].flatMap((part) => this.#stayingPart(part, depth + 1) ?? []);
    const staying = parts.length === 0 ? undefined : this.#regexes.anyOf(parts);
    this.#staying.set(regex, staying);
    return staying;
  }

  #endsWithMany(regex: Regex): boolean {
    const { nodes } = this.#regexes;
    let last = regex;
    while (nodes.kind[last] === CONCAT) last = nodes.second[last]!;
    return (
      this.#isMany(last) || (nodes.kind[last] === OR && nodes.partsOf(last).every((part) => this.#endsWithMany(part)))
    );
  }

  /** Whether it is an unlimited repetition of plain characters, and perhaps others. */
  #isMany(regex: Regex): boolean {
    const { nodes } = this.#regexes;
    return nodes.kind[regex] === REPEAT && nodes.third[regex]! < 0 && this.#bodyKind(nodes.first[regex]!) !== 'other';
  }

  /**
   * Whether an expression matches each plain character, and whether it also matches longer strings that begin with one.
   */
  #bodyKind(body: Regex): BodyKind {
    let known = this.#ofBody.get(body);
    if (known === undefined) this.#ofBody.set(body, (known = this.#findBodyKind(body)));
    return known;
  }

  #findBodyKind(body: Regex): BodyKind {
    const regexes = this.#regexes;
    let kind: BodyKind = 'one';
    const inside: [state: number, rest: Regex][] = [[0, body]];
    for (let pair = inside.pop(); pair; pair = inside.pop()) {
      for (const [byte, next] of this.#steps[pair[0]]!) {
        const rest = regexes.derivative(pair[1], byte);
        if (rest === regexes.nothing || (next === 0 && !regexes.isNullable(rest))) return 'other';
        if (next !== 0) inside.push([next, rest]);
        if (rest !== regexes.empty && (next === 0 || regexes.isNullable(rest))) kind = 'more';
      }
    }
    return kind;
  }

  /** Whether no match begins with a byte of a plain character. */
  #isOutsideAtBeginning(regex: Regex): boolean {
    let known = this.#beginsOutside.get(regex);
    if (known === undefined) {
      known = this.#steps.every((steps) =>
        steps.every(([byte]) => this.#regexes.derivative(regex, byte) === this.#regexes.nothing),
      );
      this.#beginsOutside.set(regex, known);
    }
    return known;
  }

  /**
   * Whether an expression surely matches something: it limits the number of characters, plain ASCII characters suffice,
   * and of several other parts, each may match anywhere (lookaheads).
   */
  surelyMatches(regex: Regex): boolean {
    const { nodes } = this.#regexes;
    let head = regex;
    for (; nodes.kind[head] === CONCAT; head = nodes.first[head]!) {
      if ((nodes.facts[nodes.second[head]!]! & SURELY_MATCHES) === 0) return false;
    }
    if (nodes.kind[head] !== AND) return false;
    let least = 0;
    let most = Infinity;
    const others: Regex[] = [];
    for (const part of nodes.partsOf(head)) {
      if (nodes.kind[part] === REPEAT && this.#bodyKind(nodes.first[part]!) === 'one') {
        least = Math.max(least, nodes.second[part]!);
        if (nodes.third[part]! >= 0) most = Math.min(most, nodes.third[part]!);
      } else others.push(part);
    }
    if (others.length === 1) {
      const shortest = this.#shortestPlain(others[0]!, 0);
      if (shortest >= least && shortest <= most && shortest !== Infinity) return true;
    }
    // The concatenation of a shortest match of each part matches all of them, and so do longer strings.
    let sum = 0;
    for (const part of others) {
      const staying = this.#stayingPart(part, 0);
      if (staying === undefined || !this.#endsWithMany(staying)) return false;
      sum += this.#shortestPlain(staying, 0);
    }
    return sum !== Infinity && Math.max(sum, least) <= most;
  }

  /** Characters of a shortest match of plain ASCII characters; Infinity: none found. */
  #shortestPlain(regex: Regex, depth: number): number {
    if (depth > DEEPEST) return Infinity;
    let known = this.#shortest.get(regex);
    if (known === undefined) {
      known = this.#findShortestPlain(regex, depth);
      this.#shortest.set(regex, known);
    }
    return known;
  }

  #findShortestPlain(regex: Regex, depth: number): number {
    const { nodes, byteSets } = this.#regexes;
    let sum = 0;
    let last = regex;
    for (let i = 0; nodes.kind[last] === CONCAT; last = nodes.second[last]!) {
      sum += this.#shortestPlain(nodes.first[last]!, depth + 1);
      if (sum === Infinity || ++i > LONGEST_SEQUENCE) return Infinity;
    }
    const first = nodes.first[last]!;
    switch (nodes.kind[last]) {
      case EMPTY:
        return sum;
      case BYTES:
        return this.#steps[0]!.some(([byte, next]) => next === 0 && byteSets.has(first, byte)) ? sum + 1 : Infinity;
      case OR:
        return (
          sum +
          nodes.partsOf(last).reduce((least, part) => Math.min(least, this.#shortestPlain(part, depth + 1)), Infinity)
        );
      case REPEAT:
        return nodes.second[last] === 0 ? sum : sum + nodes.second[last]! * this.#shortestPlain(first, depth + 1);
      default:
        return Infinity;
    }
  }

  /** An upper bound on the bytes of a match; Infinity: not known. */
  #longest(regex: Regex, depth: number): number {
    const { nodes } = this.#regexes;
    if (depth > DEEPEST) return Infinity;
    let sum = 0;
    let last = regex;
    for (; nodes.kind[last] === CONCAT; last = nodes.second[last]!) sum += this.#longest(nodes.first[last]!, depth + 1);
    switch (nodes.kind[last]) {
      case NOTHING:
      case EMPTY:
        return sum;
      case BYTES:
        return sum + 1;
      case OR:
        return sum + nodes.partsOf(last).reduce((most, part) => Math.max(most, this.#longest(part, depth + 1)), 0);
      case AND:
        return (
          sum + nodes.partsOf(last).reduce((least, part) => Math.min(least, this.#longest(part, depth + 1)), Infinity)
        );
      case REPEAT:
        return nodes.third[last]! < 0
          ? Infinity
          : sum + nodes.third[last]! * this.#longest(nodes.first[last]!, depth + 1);
      default:
        return Infinity;
    }
  }
}

/**
 * Kinds of a repetition's body: it matches each plain character, `one` at a time, or also `more`; `other`: not each.
 */
type BodyKind = 'one' | 'more' | 'other';

const UNKNOWN = { least: 0, most: Infinity };

/** Most transitions that `plainCharacters` looks up. */
const MOST_STEPS = 6000;

/** For each state of reading plain characters, the byte classes that may come, each with the next state. */
export function plainSteps(classOf: Uint8Array): [byteClass: number, next: number][][] {
  return Array.from({ length: PLAIN_STATES }, (_, state) => {
    const steps = new Map<string, [number, number]>();
    for (let byte = 0; byte < 256; byte++) {
      const next = PLAIN_NEXT[state * 256 + byte]!;
      if (next >= 0) steps.set(`${classOf[byte]},${next}`, [classOf[byte]!, next]);
    }
    return [...steps.values()];
  });
}

/**
 * Number of arbitrary plain characters that may follow a state of an automaton, counted up to `enough`; Infinity: no
 * limit. `step` returns the state after a byte class; `dead` is the state from which nothing continues.
 */
export function plainCharacters<S>(
  start: S,
  steps: readonly (readonly (readonly [byteClass: number, next: number])[])[],
  step: (state: S, byteClass: number) => S,
  dead: S,
  enough: number,
): number {
  let count = 0;
  const seen = new Set([start]);
  for (let characters = 0, states = [start]; characters < enough; characters++) {
    const found: S[] = [];
    for (const state of states) {
      const inside: [plain: number, state: S][] = [[0, state]];
      for (let pair = inside.pop(); pair; pair = inside.pop()) {
        for (const [byteClass, plain] of steps[pair[0]]!) {
          const next = step(pair[1], byteClass);
          if (next === dead || ++count > MOST_STEPS) return characters;
          if (plain !== 0) inside.push([plain, next]);
          else if (!seen.has(next)) {
            seen.add(next);
            found.push(next);
          }
        }
      }
    }
    // All visited states continue with every plain character.
    if (found.length === 0) return Infinity;
    states = found;
  }
  return enough;
}
