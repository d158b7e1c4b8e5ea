import { AND, BYTES, CONCAT, EMPTY, IS_TEXT, OR, REPEAT } from './nodes.ts';
import type { Regex, RegexAlgebra } from './regex-algebra.ts';

/** Most nodes that one query visits. */
const MOST_STEPS = 48;

/** Result of `times` for an expression that is not known to be a sequence of bodies. */
const UNKNOWN = -1;

/**
 * Whether `regex` matches a subset of `repeat`, a repetition with a least count of 0 or 1; true only if that is cheap
 * to see.
 */
export function isWithin(regexes: RegexAlgebra, regex: Regex, repeat: Regex): boolean {
  const { nodes } = regexes;
  const most = nodes.third[repeat]!;
  if (repeat === regexes.anyText) return (nodes.facts[regex]! & IS_TEXT) !== 0;
  if (nodes.second[repeat] === 1 && regexes.isNullable(regex) && !regexes.isNullable(repeat)) return false;
  const times = new Question(regexes).times(regex, nodes.first[repeat]!);
  return times !== UNKNOWN && (most < 0 || times <= most);
}

class Question {
  #steps = 0;

  constructor(readonly regexes: RegexAlgebra) {}

  /** Most repetitions of `body` that `regex` takes: 0 or more, perhaps Infinity, or UNKNOWN. */
  times(regex: Regex, body: Regex): number {
    const { nodes } = this.regexes;
    if (++this.#steps > MOST_STEPS) return UNKNOWN;
    if (this.isPart(regex, body)) return 1;
    switch (nodes.kind[regex]!) {
      case EMPTY:
        return 0;
      case REPEAT: {
        const times = this.times(nodes.first[regex]!, body);
        const most = nodes.third[regex]!;
        return times <= 0 ? times : most < 0 ? Infinity : times * most;
      }
      case CONCAT: {
        let sum = 0;
        let rest = regex;
        while (rest !== this.regexes.empty) {
          if (++this.#steps > MOST_STEPS) return UNKNOWN;
          const after = this.#afterOne(rest, body);
          if (after !== undefined) {
            sum++;
            rest = after;
            continue;
          }
          const isChain = nodes.kind[rest] === CONCAT;
          const times = this.times(isChain ? nodes.first[rest]! : rest, body);
          if (times === UNKNOWN) return UNKNOWN;
          sum += times;
          rest = isChain ? nodes.second[rest]! : this.regexes.empty;
        }
        return sum;
      }
      case OR: {
        let largest = 0;
        for (const part of nodes.partsOf(regex)) {
          const times = this.times(part, body);
          if (times === UNKNOWN) return UNKNOWN;
          largest = Math.max(largest, times);
        }
        return largest;
      }
      case AND:
        for (const part of nodes.partsOf(regex)) {
          const times = this.times(part, body);
          if (times !== UNKNOWN) return times;
        }
        return UNKNOWN;
    }
    return UNKNOWN;
  }

  /** Whether `a` surely matches a subset of `b`. */
  isPart(a: Regex, b: Regex): boolean {
    if (a === b) return true;
    if (++this.#steps > MOST_STEPS) return false;
    const { nodes, byteSets } = this.regexes;
    if (nodes.kind[a] === OR) {
      const from = nodes.first[a]!;
      for (let i = 0; i < nodes.second[a]!; i++) if (!this.isPart(nodes.lists[from + i]!, b)) return false;
      return true;
    }
    switch (nodes.kind[b]!) {
      case BYTES:
        return nodes.kind[a] === BYTES && byteSets.isWithin(nodes.first[a]!, nodes.first[b]!);
      case CONCAT:
        return (
          nodes.kind[a] === CONCAT &&
          this.isPart(nodes.first[a]!, nodes.first[b]!) &&
          this.isPart(nodes.second[a]!, nodes.second[b]!)
        );
      case OR: {
        const from = nodes.first[b]!;
        for (let i = 0; i < nodes.second[b]!; i++) if (this.isPart(a, nodes.lists[from + i]!)) return true;
        return false;
      }
    }
    return false;
  }

  /** The rest of a chain after its first elements, if these form one `body`; otherwise undefined. */
  #afterOne(chain: Regex, body: Regex): Regex | undefined {
    const { nodes } = this.regexes;
    const parts = nodes.kind[body] === OR ? nodes.partsOf(body) : [body];
    for (const part of parts) {
      let rest = chain;
      let wanted = part;
      while (nodes.kind[wanted] === CONCAT && nodes.kind[rest] === CONCAT) {
        if (!this.isPart(nodes.first[rest]!, nodes.first[wanted]!)) break;
        rest = nodes.second[rest]!;
        wanted = nodes.second[wanted]!;
      }
      if (nodes.kind[wanted] === CONCAT || wanted === part) continue;
      if (nodes.kind[rest] !== CONCAT) {
        if (this.isPart(rest, wanted)) return this.regexes.empty;
      } else if (this.isPart(nodes.first[rest]!, wanted)) return nodes.second[rest]!;
    }
    return undefined;
  }
}
