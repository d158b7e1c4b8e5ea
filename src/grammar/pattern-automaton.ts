import { anyOf, firstBytesOf, intersection, PLAIN_BEYOND, pointOf, type Range, rangesBetween } from './code-points.ts';

/** A regular expression. `text` stands as it is; `class` is one character. */
export type Pattern =
  | { kind: 'text'; text: string }
  | { kind: 'class'; ranges: readonly Range[] }
  | { kind: 'sequence' | 'alternatives'; parts: readonly Pattern[] }
  | Repeated;

export interface Repeated {
  kind: 'repeated';
  part: Pattern;
  least: number;
  most: number;
}

/**
 * How large an automaton may be, and what it is made of: ranges of a pattern's characters, its repetitions written out,
 * pairs of those that may follow each other, and ranges that all states go on with.
 */
const MOST = { states: 200, ranges: 2000, links: 10_000, steps: 10_000 };

/** Of a part of a pattern the places that it may begin and end at: indices of the pattern's characters. */
interface Part {
  isEmpty: boolean;
  first: readonly number[];
  last: readonly number[];
}

/** Where a text may be that the pattern is to match: the places that may come next, and whether it may end there. */
interface State {
  next: readonly number[];
  isEnd: boolean;
}

/**
 * Whether each byte of a text that matches has one place in the pattern, known when it comes, and no class has some of
 * the characters beyond ASCII alone. Of such a pattern, as it stands, the library's automata are right and fast
 * (docs/decisions/grammars.md, Alternatives).
 */
export function isDeterministic(pattern: Pattern): boolean {
  return PatternAutomaton.of(shortened(pattern))?.isDeterministic ?? false;
}

/**
 * EBNF of the automaton that takes what the pattern matches: a rule for each state, the first of which it begins in.
 * Undefined where it is too large.
 */
export function statesOf(pattern: Pattern, nameOf: (state: number) => string): string[] | undefined {
  return PatternAutomaton.of(pattern)?.rules(nameOf);
}

/** Two of what is repeated show all that can meet: one and another, and one and what is behind all of them. */
function shortened(pattern: Pattern): Pattern {
  if ('parts' in pattern) return { ...pattern, parts: pattern.parts.map(shortened) };
  if (pattern.kind !== 'repeated') return pattern;
  const { part, least, most } = pattern;
  return {
    kind: 'repeated',
    part: shortened(part),
    least: Math.min(least, least === most ? 2 : 1),
    most: most === Infinity ? most : Math.min(most, 2),
  };
}

/** The places of a pattern's characters, and which may follow which (Glushkov 1961). */
class PatternAutomaton {
  /** A place's characters. */
  readonly #ranges: (readonly Range[])[] = [];
  /** Places that may come behind it. */
  readonly #next: Set<number>[] = [];
  readonly #whole: Part;
  #links = 0;

  private constructor(pattern: Pattern) {
    this.#whole = this.#partOf(pattern);
  }

  static of(pattern: Pattern): PatternAutomaton | undefined {
    if (rangesIn(pattern) > MOST.ranges) return undefined;
    const automaton = new PatternAutomaton(pattern);
    return automaton.#links > MOST.links ? undefined : automaton;
  }

  get isDeterministic(): boolean {
    if (!this.#ranges.every(isPlain)) return false;
    const bytes = this.#ranges.map((ranges) =>
      firstBytesOf(ranges).flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
    );
    return [this.#whole.first, ...this.#next].every((next) => {
      const all = Array.from(next, (place) => bytes[place] ?? []).flat();
      return new Set(all).size === all.length;
    });
  }

  rules(nameOf: (state: number) => string): string[] | undefined {
    const ends = new Set(this.#whole.last);
    const states: State[] = [];
    const indices = new Map<string, number>();
    const indexOf = (state: State): number => {
      const key = `${state.next.join()} ${state.isEnd}`;
      const index = indices.get(key) ?? states.push(state) - 1;
      indices.set(key, index);
      return index;
    };
    indexOf({ next: this.#whole.first, isEnd: this.#whole.isEmpty });
    const rules: string[] = [];
    let steps = 0;
    for (const { next, isEnd } of states) {
      // it grows
      const byState = new Map<number, Range[]>(); // that they lead to
      for (const [range, places] of this.#steps(next)) {
        const behind = new Set(places.flatMap((place) => [...(this.#next[place] ?? [])]));
        const index = indexOf({
          next: [...behind].sort((a, b) => a - b),
          isEnd: places.some((place) => ends.has(place)),
        });
        byState.set(index, byState.get(index) ?? []);
        byState.get(index)?.push(range);
        steps++;
      }
      if (states.length > MOST.states || steps > MOST.steps) return undefined;
      const characters = Array.from(byState, ([index, ranges]) => ({ ranges, behind: ` ${nameOf(index)}` }));
      rules.push(
        `${nameOf(rules.length)} ::= ${[...(characters.length > 0 ? [anyOf(characters)] : []), ...(isEnd ? ['""'] : [])].join(' | ')}`,
      );
    }
    return rules;
  }

  /** Which of the places `next` each character may be at. */
  #steps(next: readonly number[]): (readonly [Range, places: readonly number[]])[] {
    const all = next.flatMap((place) => (this.#ranges[place] ?? []).map(([first, last]) => ({ place, first, last })));
    const ranges = rangesBetween(all.flatMap(({ first, last }) => [first, last + 1]));
    const indices = new Map(ranges.map(([first], i) => [first, i]));
    const places = ranges.map((): number[] => []);
    for (const { place, first, last } of all) {
      for (let i = indices.get(first) ?? 0; (ranges[i]?.[0] ?? Infinity) <= last; i++) places[i]?.push(place);
    }
    return ranges.map((range, i) => [range, places[i] ?? []] as const).filter(([, at]) => at.length > 0);
  }

  #partOf(pattern: Pattern): Part {
    switch (pattern.kind) {
      case 'text':
        return this.#inOrder(Array.from(pattern.text, (char) => this.#place([[pointOf(char), pointOf(char)]])));
      case 'class':
        return this.#place(pattern.ranges);
      case 'sequence':
        return this.#inOrder(pattern.parts.map((part) => this.#partOf(part)));
      case 'alternatives': {
        const parts = pattern.parts.map((part) => this.#partOf(part));
        return {
          isEmpty: parts.some(({ isEmpty }) => isEmpty),
          first: parts.flatMap(({ first }) => first),
          last: parts.flatMap(({ last }) => last),
        };
      }
      case 'repeated':
        return this.#repeated(pattern);
    }
  }

  #place(ranges: readonly Range[]): Part {
    this.#ranges.push(ranges);
    const place = this.#next.push(new Set()) - 1;
    return { isEmpty: false, first: [place], last: [place] };
  }

  #repeated({ part, least, most }: Repeated): Part {
    // Each copy but the first ones may be missing, with all behind it: so a text's copies are always the first ones.
    let copies = NOTHING;
    for (let i = copiesOf({ least, most }) - 1; i >= 0; i--) {
      const copy = this.#partOf(part);
      if (copies === NOTHING && most === Infinity) this.#link(copy, copy);
      copies = this.#inOrder([copy, copies]);
      if (i >= least) copies = { ...copies, isEmpty: true };
    }
    return copies;
  }

  #inOrder(parts: readonly Part[]): Part {
    return parts.reduce((before, part) => {
      this.#link(before, part);
      return {
        isEmpty: before.isEmpty && part.isEmpty,
        first: before.isEmpty ? [...before.first, ...part.first] : before.first,
        last: part.isEmpty ? [...before.last, ...part.last] : part.last,
      };
    }, NOTHING);
  }

  #link(before: Part, behind: Part): void {
    this.#links += before.last.length * behind.first.length;
    if (this.#links > MOST.links) return;
    for (const place of before.last) for (const next of behind.first) this.#next[place]?.add(next);
  }
}

/** Whether it is one character, or has all or none of those beyond ASCII. */
function isPlain(ranges: readonly Range[]): boolean {
  const beyond = intersection(ranges, PLAIN_BEYOND);
  const [first, last] = ranges[0] ?? [];
  return (
    beyond.length === 0 ||
    JSON.stringify(beyond) === JSON.stringify(PLAIN_BEYOND) ||
    (ranges.length === 1 && first === last)
  );
}

const NOTHING: Part = { isEmpty: true, first: [], last: [] };

/** Where there is no end to them, the last one follows itself. */
const copiesOf = ({ least, most }: Pick<Repeated, 'least' | 'most'>): number =>
  most === Infinity ? Math.max(1, least) : most;

/** Ranges of all its characters; what has none counts too. */
function rangesIn(pattern: Pattern): number {
  switch (pattern.kind) {
    case 'text':
      return pattern.text.length;
    case 'class':
      return pattern.ranges.length;
    case 'repeated':
      return copiesOf(pattern) * Math.max(1, rangesIn(pattern.part));
    default:
      return pattern.parts.reduce((sum, part) => sum + rangesIn(part), 1);
  }
}
