import { BYTES, CONCAT, NOT, REPEAT } from './nodes.ts';
import type { Regex, RegexAlgebra } from './regex-algebra.ts';
import { isWithin } from './subsets.ts';

/** not(x) | not(y) is not(x & y), and not(x) | x anything. */
export function mergedComplements(regexes: RegexAlgebra, parts: readonly Regex[]): Regex[] | undefined {
  const { nodes } = regexes;
  const inner = parts.filter((part) => nodes.kind[part] === NOT).map((part) => nodes.first[part]!);
  if (inner.length === 0) return undefined;
  if (inner.some((part) => parts.includes(part))) return [regexes.anyBytes];
  if (inner.length === 1) return undefined;
  return [...parts.filter((part) => nodes.kind[part] !== NOT), regexes.not(regexes.allOf(inner))];
}

/** x z | y z is (x|y) z, and x z | z is x? z. */
export function mergedTails(regexes: RegexAlgebra, parts: readonly Regex[]): Regex[] | undefined {
  const { nodes } = regexes;
  const headsOf = new Map<Regex, Regex[]>();
  let isShared = false;
  for (const part of parts) {
    if (nodes.kind[part] !== CONCAT) continue;
    const heads = headsOf.get(nodes.second[part]!);
    if (heads) {
      heads.push(nodes.first[part]!);
      isShared = true;
    } else headsOf.set(nodes.second[part]!, [nodes.first[part]!]);
  }
  if (headsOf.size === 0) return undefined;
  const others: Regex[] = [];
  for (const part of parts) {
    const heads = headsOf.get(part);
    if (heads) {
      heads.push(regexes.empty);
      isShared = true;
    } else if (nodes.kind[part] !== CONCAT) others.push(part);
  }
  if (!isShared) return undefined;
  // A part that is itself a tail joins the group of that tail, not the group of its own tail.
  const taken = new Set<Regex>();
  for (const part of parts) if (headsOf.has(part)) taken.add(part);
  const merged: Regex[] = others;
  for (const [tail, heads] of headsOf) {
    const own =
      taken.size === 0
        ? heads
        : heads.filter((head) => head === regexes.empty || !taken.has(nodes.node(CONCAT, head, tail)));
    merged.push(regexes.concat(regexes.anyOf(own), tail));
  }
  return merged;
}

/** x y | x z is x (y|z). Heads of one byte stay separate: the derivative merges them, one byte at a time. */
export function mergedHeads(regexes: RegexAlgebra, parts: readonly Regex[]): Regex[] | undefined {
  const { nodes } = regexes;
  let tailsOf: Map<Regex, Regex[]> | undefined;
  let isShared = false;
  for (const part of parts) {
    if (nodes.kind[part] !== CONCAT) continue;
    const head = nodes.first[part]!;
    if (nodes.kind[head] === BYTES) continue;
    tailsOf ??= new Map();
    const tails = tailsOf.get(head);
    if (tails) {
      tails.push(nodes.second[part]!);
      isShared = true;
    } else tailsOf.set(head, [nodes.second[part]!]);
  }
  if (!tailsOf || !isShared) return undefined;
  const merged = parts.filter((part) => nodes.kind[part] !== CONCAT || nodes.kind[nodes.first[part]!] === BYTES);
  for (const [head, tails] of tailsOf) merged.push(regexes.concat(head, regexes.anyOf(tails)));
  return merged;
}

/** x{1,3} | x{2,5} is x{1,5}. */
export function mergedRepeats(regexes: RegexAlgebra, parts: readonly Regex[]): Regex[] | undefined {
  const { nodes } = regexes;
  let repeatsOf: Map<Regex, Regex[]> | undefined;
  for (const part of parts) {
    if (nodes.kind[part] !== REPEAT) continue;
    repeatsOf ??= new Map();
    const repeats = repeatsOf.get(nodes.first[part]!);
    if (repeats) repeats.push(part);
    else repeatsOf.set(nodes.first[part]!, [part]);
  }
  if (!repeatsOf) return undefined;
  for (const part of parts) repeatsOf.get(part)?.push(part);
  for (const [body, repeats] of repeatsOf) {
    if (repeats.length < 2) continue;
    const runs = repeats.map((part) => (part === body ? ([1, 1] as [number, number]) : nodes.countsOf(part)));
    const joined = joinedRuns(runs);
    if (joined.length === runs.length) continue;
    const others = parts.filter((part) => !repeats.includes(part));
    return [...others, ...joined.map(([least, most]) => regexes.repeat(body, least, most))];
  }
  return undefined;
}

/** Removes parts that match a subset of another part, if that is cheap to see. */
export function withoutSubsumed(regexes: RegexAlgebra, parts: Regex[]): Regex[] {
  const { nodes } = regexes;
  const dropped = new Set<Regex>();
  // x? y includes y. A tail has a smaller number than a node that ends with it.
  let among: Set<Regex> | undefined;
  let walked: Set<Regex> | undefined;
  for (let i = parts.length - 1; i > 0; i--) {
    const part = parts[i]!;
    if (nodes.kind[part] !== CONCAT || !regexes.isNullable(nodes.first[part]!) || dropped.has(part)) continue;
    among ??= new Set(parts);
    walked ??= new Set();
    const walkedBefore = walked.size;
    let rest = part;
    while (nodes.kind[rest] === CONCAT && regexes.isNullable(nodes.first[rest]!) && !walked.has(rest)) {
      walked.add(rest);
      rest = nodes.second[rest]!;
      if (rest < parts[0]!) break;
      if (among.has(rest)) dropped.add(rest);
      // x? y? includes y too; `parts` lists y without its ?.
      else if (nodes.kind[rest] === REPEAT && nodes.second[rest]! <= 1 && among.has(nodes.first[rest]!)) {
        dropped.add(nodes.first[rest]!);
      }
    }
    regexes.fuel.use((walked.size - walkedBefore) >> 2);
  }
  const repeats = parts.filter((part) => nodes.kind[part] === REPEAT && nodes.second[part]! <= 1).slice(0, 4);
  for (const repeat of repeats) {
    if (dropped.has(repeat)) continue;
    for (const part of parts) {
      if (part !== repeat && !dropped.has(part) && isWithin(regexes, part, repeat)) dropped.add(part);
    }
  }
  return dropped.size === 0 ? parts : parts.filter((part) => !dropped.has(part));
}

/** Merges runs that touch or overlap. */
function joinedRuns(runs: readonly [number, number][]): [number, number][] {
  const joined: [number, number][] = [];
  for (const [least, most] of [...runs].sort((a, b) => a[0] - b[0])) {
    const before = joined.at(-1);
    if (before && least <= before[1] + 1) before[1] = Math.max(before[1], most);
    else joined.push([least, most]);
  }
  return joined;
}
