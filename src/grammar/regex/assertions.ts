import { type Fuel, GrammarError } from '../limits.ts';
import type { Range } from './byte-sets.ts';
import type { CharRegex } from './char-regex.ts';

/** The tree of a pattern as written, with assertions; `resolved` removes them. */
export type Pattern =
  | CharRegex
  | { readonly kind: 'concat' | 'or'; readonly parts: readonly Pattern[] }
  | { readonly kind: 'repeat'; readonly part: Pattern; readonly least: number; readonly most: number }
  | Assertion;

type Assertion =
  /** ^ and $; `isOfLine`: they also match at the ends of lines. */
  | { readonly kind: 'start' | 'end'; readonly isOfLine: boolean }
  /** \b, or \B if negated; `word`: the word characters. */
  | { readonly kind: 'boundary'; readonly word: readonly Range[]; readonly isNegated: boolean }
  | { readonly kind: 'look'; readonly isAhead: boolean; readonly isNegated: boolean; readonly part: Pattern };

/** Most paths through a pattern with assertions: through one list of alternatives, and through several. */
const MOST_ALTERNATIVES = 10_000;
const MOST_PATHS = 200;
/** Most steps of `solved` for one pattern, each of about 10 µs. */
const MOST_STEPS = 30_000;
/** Most copies into which a repetition with assertions is expanded. */
const MOST_WRITTEN_OUT = 8;

const EMPTY: CharRegex = { kind: 'empty' };
const NOTHING: CharRegex = { kind: 'chars', ranges: [] };
const ANY_CHAR: CharRegex = { kind: 'chars', ranges: [[0, 0x10ffff]] };
const ANY_TEXT: CharRegex = { kind: 'repeat', part: ANY_CHAR, least: 0, most: Infinity };
const SOME_TEXT: CharRegex = { kind: 'repeat', part: ANY_CHAR, least: 1, most: Infinity };
const LINE_END: CharRegex = { kind: 'chars', ranges: [[0x0a, 0x0a]] };

/** A condition on the place between two pieces. */
interface Condition {
  /**
   * All of the text before the place matches this, which looks `reachLookbehind` characters back; Infinity: to the
   * start.
   */
  readonly lookbehind?: CharRegex;
  readonly reachLookbehind: number;
  /** All of the text after the place matches this. */
  readonly lookahead?: CharRegex;
  readonly reachLookahead: number;
  /** `lookahead` is valid only if nothing follows. */
  readonly isLast?: boolean;
}

/** A path through a pattern: pieces without assertions, and a condition between each two. */
interface Path {
  readonly pieces: readonly CharRegex[];
  readonly conditions: readonly Condition[];
}

/** Steps left for the current pattern, and the fuel that pays for them. */
let stepsLeft = 0;
let charged: Fuel | undefined;
/** Units of fuel per step. */
const STEP = 20;

/**
 * The tree of the texts that contain a match of `pattern`; with `isWhole`, of those that match as a whole. Assertions
 * become intersections and complements. Throws a `GrammarError` if that is not possible.
 */
export function resolved(pattern: Pattern, isWhole: boolean, fuel?: Fuel): CharRegex {
  stepsLeft = MOST_STEPS;
  charged = fuel;
  if (isPure(pattern)) return isWhole ? pattern : concat([ANY_TEXT, pattern, ANY_TEXT]);
  const paths = pathsOf(pattern).map((path) => (isWhole ? path : surrounded(path, ANY_TEXT, ANY_TEXT)));
  return or(paths.map((path) => solved(path, { isStartKnown: true, isEndKnown: true })));
}

const surrounded = ({ pieces, conditions }: Path, before: CharRegex, after: CharRegex): Path => {
  const all = [...pieces];
  all[0] = concat([before, all[0] ?? EMPTY]);
  all[all.length - 1] = concat([all.at(-1) ?? EMPTY, after]);
  return { pieces: all, conditions };
};

const ASSERTIONS: readonly string[] = ['start', 'end', 'boundary', 'look'] satisfies Assertion['kind'][];
const isAssertion = (pattern: Pattern): pattern is Assertion => ASSERTIONS.includes(pattern.kind);

const pureNodes = new WeakMap<Pattern, boolean>();

/** Whether a pattern has no assertions. */
function isPure(pattern: Pattern): pattern is CharRegex {
  const known = pureNodes.get(pattern);
  if (known !== undefined) return known;
  let pure = true;
  if (pattern.kind === 'concat' || pattern.kind === 'or') pure = pattern.parts.every(isPure);
  else if (pattern.kind === 'repeat') pure = isPure(pattern.part);
  else if (isAssertion(pattern)) pure = false;
  pureNodes.set(pattern, pure);
  return pure;
}

const knownPaths = new WeakMap<Pattern, Path[] | GrammarError>();

/** The paths through a pattern, cached because repetitions ask for them twice. */
function pathsOf(pattern: Pattern): Path[] {
  if (isPure(pattern)) return [{ pieces: [pattern], conditions: [] }];
  let paths = knownPaths.get(pattern);
  if (!paths) {
    try {
      paths = findPaths(pattern);
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      paths = error;
    }
    knownPaths.set(pattern, paths);
  }
  if (paths instanceof GrammarError) throw paths;
  return paths;
}

function findPaths(pattern: Pattern): Path[] {
  switch (pattern.kind) {
    case 'concat': {
      let paths: Path[] = [{ pieces: [EMPTY], conditions: [] }];
      for (const part of withPureRuns(pattern.parts)) {
        const next = pathsOf(part);
        const isProduct = paths.length > 1 && next.length > 1;
        if (isProduct && paths.length * next.length > MOST_PATHS) throw tooMany();
        paths = paths.flatMap((path) => next.map((following) => joined(path, following)));
      }
      return paths;
    }
    case 'or': {
      const parts: readonly Pattern[] = pattern.parts;
      const paths = parts.filter((part) => !isPure(part)).flatMap(pathsOf);
      const pure = or(parts.filter(isPure));
      if (!isNothing(pure)) paths.unshift({ pieces: [pure], conditions: [] });
      if (paths.length > MOST_ALTERNATIVES) throw tooMany();
      return paths;
    }
    case 'repeat':
      return pathsOfRepeat(pattern.part, pattern.least, pattern.most);
    default:
      return conditionsOf(pattern as Assertion).map((condition) => ({
        pieces: [EMPTY, EMPTY],
        conditions: [condition],
      }));
  }
}

/** The parts, with adjacent parts without assertions joined. */
function withPureRuns(parts: readonly Pattern[]): Pattern[] {
  const merged: Pattern[] = [];
  let run: CharRegex[] = [];
  for (const part of parts) {
    if (isPure(part)) {
      run.push(part);
      continue;
    }
    merged.push(concat(run), part);
    run = [];
  }
  merged.push(concat(run));
  return merged;
}

const tooMany = (): GrammarError =>
  new GrammarError('has too many alternatives with assertions (^, $, \\b or look-around)');

function joined(a: Path, b: Path): Path {
  const middle = concat([a.pieces.at(-1) ?? EMPTY, b.pieces[0] ?? EMPTY]);
  return {
    pieces: [...a.pieces.slice(0, -1), middle, ...b.pieces.slice(1)],
    conditions: [...a.conditions, ...b.conditions],
  };
}

function pathsOfRepeat(part: Pattern, least: number, most: number): Path[] {
  const local = withoutAssertions(part);
  if (local) return [{ pieces: [repeat(local, least, most)], conditions: [] }];
  if (most === Infinity && least <= 1 && (mentionsStart(part) || mentionsEnd(part))) {
    return pathsOf(least === 1 ? onceOrMore(part) : anyTimes(part));
  }
  const guarded = most > MOST_WRITTEN_OUT ? guardedChar(part) : undefined;
  if (guarded) {
    // ((?!x).)* at the end of a text: the assertion may fail at the end only.
    const failing = and([SOME_TEXT, not(guarded.lookahead)]);
    const chars = repeat(guarded.char, least, most);
    const lookahead = and([chars, not(concat([ANY_TEXT, failing]))]);
    const end = { ...condition({ lookahead: EMPTY }), isLast: true };
    return [{ pieces: [EMPTY, chars, EMPTY], conditions: [condition({ lookahead }), end] }];
  }
  if (most > MOST_WRITTEN_OUT) throw new GrammarError('repeats an assertion (^, $, \\b or look-around) too often');
  const once = pathsOf(part);
  const all: Path[] = [];
  let paths: Path[] = [{ pieces: [EMPTY], conditions: [] }];
  for (let times = 0; times <= most; times++) {
    if (times >= least) all.push(...paths);
    if (times === most) break;
    if (paths.length * once.length + all.length > MOST_PATHS) throw tooMany();
    paths = paths.flatMap((path) => once.map((following) => joined(path, following)));
  }
  return all;
}

/** The tree of a pattern whose assertions look only at its own match; otherwise undefined. */
function withoutAssertions(pattern: Pattern): CharRegex | undefined {
  try {
    return or(pathsOf(pattern).map((path) => solved(path, { isStartKnown: false, isEndKnown: false })));
  } catch (error) {
    if (error instanceof GrammarError) return undefined;
    throw error;
  }
}

/**
 * Iterations that match nothing may be omitted; of the others only the first is at the start, and only the last at the
 * end.
 */
function onceOrMore(part: Pattern): Pattern {
  if (mentionsStart(part)) return { kind: 'concat', parts: [part, anyTimes(withoutStart(part))] };
  if (mentionsEnd(part)) return { kind: 'concat', parts: [anyTimes(withoutEnd(part)), part] };
  return { kind: 'repeat', part, least: 1, most: Infinity };
}

const anyTimes = (part: Pattern): Pattern =>
  mentionsStart(part) || mentionsEnd(part)
    ? { kind: 'or', parts: [EMPTY, onceOrMore(part)] }
    : { kind: 'repeat', part, least: 0, most: Infinity };

/** The parts of a lookahead followed by one character; otherwise undefined. */
function guardedChar(part: Pattern): { lookahead: CharRegex; char: CharRegex } | undefined {
  if (part.kind !== 'concat') return undefined;
  const parts: readonly Pattern[] = part.parts;
  const looks = parts.filter((each) => !isPure(each));
  const char = concat(parts.filter(isPure));
  const [shortest, longest] = lengthsOf(char);
  if (shortest !== 1 || longest !== 1 || parts.findIndex(isPure) < looks.length) return undefined;
  const conditions = looks.map((look) => (look.kind === 'look' && look.isAhead ? conditionsOf(look) : []));
  if (conditions.some((each) => each.length !== 1)) return undefined;
  return { lookahead: and(conditions.map((each) => each[0]?.lookahead ?? ANY_TEXT)), char };
}

const condition = (
  { lookbehind, lookahead }: { lookbehind?: CharRegex; lookahead?: CharRegex },
  reach = Infinity,
): Condition => ({
  ...(lookbehind && { lookbehind }),
  ...(lookahead && { lookahead }),
  reachLookbehind: lookbehind ? reach : 0,
  reachLookahead: lookahead ? reach : 0,
});

/** Conditions, one of which must hold. */
function conditionsOf(assertion: Assertion): Condition[] {
  switch (assertion.kind) {
    case 'start':
      return [condition({ lookbehind: assertion.isOfLine ? or([EMPTY, concat([ANY_TEXT, LINE_END])]) : EMPTY })];
    case 'end':
      return [condition({ lookahead: assertion.isOfLine ? or([EMPTY, concat([LINE_END, ANY_TEXT])]) : EMPTY })];
    case 'boundary': {
      const word: CharRegex = { kind: 'chars', ranges: assertion.word };
      const other: CharRegex = { kind: 'chars', ranges: gapsOf(assertion.word) };
      const lookbehind = [concat([ANY_TEXT, word]), or([EMPTY, concat([ANY_TEXT, other])])];
      const lookahead = [concat([word, ANY_TEXT]), or([EMPTY, concat([other, ANY_TEXT])])];
      return [0, 1].map((side) =>
        condition({ lookbehind: lookbehind[side]!, lookahead: lookahead[assertion.isNegated ? side : 1 - side]! }, 1),
      );
    }
    case 'look':
      return assertion.isAhead ? lookaheadConditions(assertion) : [lookbehindCondition(assertion)];
  }
}

type Look = Extract<Assertion, { kind: 'look' }>;

function lookaheadConditions({ part, isNegated }: Look): Condition[] {
  const holds = (body: Pattern, isStartKnown: boolean): CharRegex => {
    const paths = pathsOf(body).map((path) => surrounded(path, EMPTY, ANY_TEXT));
    const found = or(paths.map((path) => solved(path, { isStartKnown, isEndKnown: true })));
    return isNegated ? not(found) : found;
  };
  if (!mentionsStart(part))
    return [condition({ lookahead: holds(part, false) }, isPure(part) ? lengthsOf(part)[1] : Infinity)];
  return [
    condition({ lookbehind: EMPTY, lookahead: holds(part, true) }),
    condition({ lookbehind: SOME_TEXT, lookahead: holds(withoutStart(part), false) }),
  ];
}

function lookbehindCondition({ part, isNegated }: Look): Condition {
  const paths = pathsOf(part).map((path) => surrounded(path, ANY_TEXT, EMPTY));
  const found = or(paths.map((path) => solved(path, { isStartKnown: true, isEndKnown: false })));
  return condition({ lookbehind: isNegated ? not(found) : found }, isPure(part) ? lengthsOf(part)[1] : Infinity);
}

/** Whether a ^ of the pattern may apply to the place where the pattern begins. */
function mentionsStart(pattern: Pattern): boolean {
  if (isPure(pattern)) return false;
  if (pattern.kind === 'concat' || pattern.kind === 'or') return pattern.parts.some(mentionsStart);
  if (pattern.kind === 'repeat') return mentionsStart(pattern.part);
  if (pattern.kind === 'look') return pattern.isAhead && mentionsStart(pattern.part);
  return pattern.kind === 'start' && !pattern.isOfLine;
}

/** The pattern, given that it does not begin at the start of the text. */
function withoutStart(pattern: Pattern): Pattern {
  if (!mentionsStart(pattern)) return pattern;
  if (pattern.kind === 'concat' || pattern.kind === 'or')
    return { kind: pattern.kind, parts: pattern.parts.map(withoutStart) };
  if (pattern.kind === 'repeat' || pattern.kind === 'look') return { ...pattern, part: withoutStart(pattern.part) };
  return NOTHING;
}

function mentionsEnd(pattern: Pattern): boolean {
  if (isPure(pattern)) return false;
  if (pattern.kind === 'concat' || pattern.kind === 'or') return pattern.parts.some(mentionsEnd);
  if (pattern.kind === 'repeat') return mentionsEnd(pattern.part);
  return pattern.kind === 'end' && !pattern.isOfLine;
}

/** The pattern, given that it does not end at the end of the text. */
function withoutEnd(pattern: Pattern): Pattern {
  if (!mentionsEnd(pattern)) return pattern;
  if (pattern.kind === 'concat' || pattern.kind === 'or')
    return { kind: pattern.kind, parts: pattern.parts.map(withoutEnd) };
  return pattern.kind === 'repeat' ? { ...pattern, part: withoutEnd(pattern.part) } : NOTHING;
}

/** Whether a path's first piece begins at the start of the text, and its last piece ends at the end. */
interface Ends {
  isStartKnown: boolean;
  isEndKnown: boolean;
}

/** The tree of the texts that a path matches. */
function solved(given: Path, ends: Ends): CharRegex {
  const path = withOneConditionAPlace(given);
  const steps = 1 + path.conditions.length ** 2 / 32;
  charged?.use(steps * STEP);
  stepsLeft -= steps;
  if (stepsLeft < 0) throw tooMany();
  const { pieces, conditions } = path;
  const lastLookbehind = conditions.findLastIndex(({ lookbehind }) => lookbehind);
  const firstLookahead = conditions.findIndex(({ lookahead }) => lookahead);
  const isLookbehindOk = lastLookbehind < 0 || ends.isStartKnown;
  const isLookaheadOk = firstLookahead < 0 || ends.isEndKnown;
  // Conditions up to one place only look back, and those from there on only look ahead.
  if (
    isLookbehindOk &&
    isLookaheadOk &&
    (lastLookbehind < 0 || firstLookahead < 0 || lastLookbehind <= firstLookahead)
  ) {
    const middle = lastLookbehind < 0 ? Math.max(firstLookahead, 0) : lastLookbehind;
    return conditions.length === 0 ? (pieces[0] ?? EMPTY) : concat([prefixOf(path, middle), suffixOf(path, middle)]);
  }
  return lifted(path, ends) ?? pushed(path, ends) ?? refuse();
}

function withOneConditionAPlace({ pieces, conditions }: Path): Path {
  const newPieces: CharRegex[] = [pieces[0] ?? EMPTY];
  const newConditions: Condition[] = [];
  for (const [i, next] of conditions.entries()) {
    const before = newConditions.at(-1);
    if (before && newPieces.at(-1)?.kind === 'empty' && !before.isLast && !next.isLast) {
      newConditions[newConditions.length - 1] = bothOf(before, next);
      newPieces[newPieces.length - 1] = pieces[i + 1] ?? EMPTY;
    } else {
      newConditions.push(next);
      newPieces.push(pieces[i + 1] ?? EMPTY);
    }
  }
  return { pieces: newPieces, conditions: newConditions };
}

function bothOf(a: Condition, b: Condition): Condition {
  const lookbehind = a.lookbehind && b.lookbehind ? and([a.lookbehind, b.lookbehind]) : (a.lookbehind ?? b.lookbehind);
  const lookahead = a.lookahead && b.lookahead ? and([a.lookahead, b.lookahead]) : (a.lookahead ?? b.lookahead);
  return {
    ...(lookbehind && { lookbehind }),
    ...(lookahead && { lookahead }),
    reachLookbehind: Math.max(a.reachLookbehind, b.reachLookbehind),
    reachLookahead: Math.max(a.reachLookahead, b.reachLookahead),
  };
}

function refuse(): never {
  throw new GrammarError('has assertions (^, $, \\b or look-around) that depend on each other');
}

/** The text before the condition at `place`, with all conditions on it. */
function prefixOf({ pieces, conditions }: Path, place: number): CharRegex {
  let prefix = EMPTY;
  for (let i = 0; i <= place; i++) {
    prefix = concat([prefix, pieces[i] ?? EMPTY]);
    prefix = and([prefix, conditions[i]?.lookbehind ?? ANY_TEXT]);
  }
  return prefix;
}

/** The text after the condition at `place`, with all conditions on it. */
function suffixOf({ pieces, conditions }: Path, place: number): CharRegex {
  let suffix = EMPTY;
  for (let i = conditions.length - 1; i >= place; i--) {
    suffix = concat([pieces[i + 1] ?? EMPTY, suffix]);
    if (conditions[i]?.isLast && suffix.kind !== 'empty') {
      throw new GrammarError('repeats a lookahead where something else may follow than the end of the text');
    }
    suffix = and([suffix, conditions[i]?.lookahead ?? ANY_TEXT]);
  }
  return suffix;
}

/** Applies a condition to the whole text if the text before or after it has a fixed length. */
function lifted(path: Path, ends: Ends): CharRegex | undefined {
  const { conditions } = path;
  const firstLookahead = conditions.findIndex(({ lookahead }) => lookahead);
  const lastLookbehind = conditions.findLastIndex(({ lookbehind }) => lookbehind);
  const lookahead = conditions[firstLookahead]?.lookahead;
  if (
    lookahead &&
    !conditions[firstLookahead]?.isLast &&
    ends.isEndKnown &&
    (ends.isStartKnown || !conditions.slice(0, firstLookahead + 1).some((each) => each.lookbehind))
  ) {
    const prefix = prefixOf(path, firstLookahead);
    if (isOfOneLength(prefix))
      return and([concat([prefix, lookahead]), solved(without(path, firstLookahead, 'lookahead'), ends)]);
  }
  const lookbehind = conditions[lastLookbehind]?.lookbehind;
  if (
    lookbehind &&
    ends.isStartKnown &&
    (ends.isEndKnown || !conditions.slice(lastLookbehind).some((each) => each.lookahead))
  ) {
    const suffix = suffixOf(path, lastLookbehind);
    if (isOfOneLength(suffix))
      return and([concat([lookbehind, suffix]), solved(without(path, lastLookbehind, 'lookbehind'), ends)]);
  }
  return undefined;
}

/** Applies a condition to the adjacent piece if it looks no further than that piece. */
function pushed(path: Path, ends: Ends): CharRegex | undefined {
  for (const [place, { lookbehind, reachLookbehind, lookahead, reachLookahead }] of path.conditions.entries()) {
    for (const side of ['lookbehind', 'lookahead'] as const) {
      const asked = side === 'lookbehind' ? lookbehind : lookahead;
      const reach = side === 'lookbehind' ? reachLookbehind : reachLookahead;
      if (!asked || reach === Infinity) continue;
      const beside = side === 'lookbehind' ? place : place + 1;
      const piece = path.pieces[beside] ?? EMPTY;
      const rest = without(path, place, side);
      if (lengthsOf(piece)[0] >= reach) return solved(withPiece(rest, beside, and([piece, asked])), ends);
      if (reach !== 1 || lengthsOf(piece)[1] === 0) continue;
      const neighbour = side === 'lookbehind' ? place - 1 : place + 1;
      if (!path.conditions[neighbour]) continue;
      // If the piece is empty, the condition beyond it must hold the same.
      const whenFull = withPiece(rest, beside, and([piece, SOME_TEXT, asked]));
      const whenEmpty = withCondition(withPiece(rest, beside, EMPTY), neighbour, side, asked);
      return or([solved(whenFull, ends), solved(whenEmpty, ends)]);
    }
  }
  return undefined;
}

const without = (path: Path, place: number, side: 'lookbehind' | 'lookahead'): Path => ({
  ...path,
  conditions: path.conditions.map((each, i) => {
    if (i !== place) return each;
    const { lookbehind, lookahead, reachLookbehind, reachLookahead } = each;
    return side === 'lookbehind'
      ? { ...(lookahead && { lookahead }), reachLookbehind: 0, reachLookahead }
      : { ...(lookbehind && { lookbehind }), reachLookbehind, reachLookahead: 0 };
  }),
});

const withPiece = (path: Path, place: number, piece: CharRegex): Path => ({
  ...path,
  pieces: path.pieces.map((each, i) => (i === place ? piece : each)),
});

const withCondition = (path: Path, place: number, side: 'lookbehind' | 'lookahead', asked: CharRegex): Path => ({
  ...path,
  conditions: path.conditions.map((each, i) => {
    if (i !== place) return each;
    return side === 'lookbehind'
      ? {
          ...each,
          lookbehind: and([each.lookbehind ?? ANY_TEXT, asked]),
          reachLookbehind: Math.max(each.reachLookbehind, 1),
        }
      : {
          ...each,
          lookahead: and([each.lookahead ?? ANY_TEXT, asked]),
          reachLookahead: Math.max(each.reachLookahead, 1),
        };
  }),
});

function gapsOf(ranges: readonly Range[]): Range[] {
  const gaps: Range[] = [];
  let next = 0;
  for (const [first, last] of ranges) {
    if (first > next) gaps.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= 0x10ffff) gaps.push([next, 0x10ffff]);
  return gaps;
}

const isOfOneLength = (tree: CharRegex): boolean => {
  const [shortest, longest] = lengthsOf(tree);
  return shortest === longest;
};

/** Fewest and most characters that `tree` matches; only bounds if it has an intersection or a complement. */
export function lengthsOf(tree: CharRegex): [shortest: number, longest: number] {
  switch (tree.kind) {
    case 'empty':
      return [0, 0];
    case 'chars':
      return [1, 1];
    case 'concat': {
      let [shortest, longest] = [0, 0];
      for (const part of tree.parts) {
        const [least, most] = lengthsOf(part);
        shortest += least;
        longest += most;
      }
      return [shortest, longest];
    }
    case 'or':
    case 'and': {
      const isOr = tree.kind === 'or';
      let [shortest, longest] = isOr ? [Infinity, 0] : [0, Infinity];
      for (const part of tree.parts) {
        const [least, most] = lengthsOf(part);
        shortest = isOr ? Math.min(shortest, least) : Math.max(shortest, least);
        longest = isOr ? Math.max(longest, most) : Math.min(longest, most);
      }
      return [shortest, longest];
    }
    case 'not':
      return [matchesEmpty(tree.part) ? 1 : 0, Infinity];
    case 'repeat': {
      const [least, most] = lengthsOf(tree.part);
      return [least * tree.least, most === 0 || tree.most === 0 ? 0 : most * tree.most];
    }
  }
}

export function matchesEmpty(tree: CharRegex): boolean {
  switch (tree.kind) {
    case 'empty':
      return true;
    case 'chars':
      return false;
    case 'concat':
    case 'and':
      return tree.parts.every(matchesEmpty);
    case 'or':
      return tree.parts.some(matchesEmpty);
    case 'not':
      return !matchesEmpty(tree.part);
    case 'repeat':
      return tree.least === 0 || matchesEmpty(tree.part);
  }
}

const isNothing = (tree: CharRegex): boolean => tree.kind === 'chars' && tree.ranges.length === 0;

function concat(given: readonly CharRegex[]): CharRegex {
  const parts = given
    .flatMap((part) => (part.kind === 'concat' ? part.parts : [part]))
    .filter((part) => part.kind !== 'empty');
  if (parts.some(isNothing)) return NOTHING;
  return parts.length === 0 ? EMPTY : parts.length === 1 ? parts[0]! : { kind: 'concat', parts };
}

function or(given: readonly CharRegex[]): CharRegex {
  const parts = given.filter((part) => !isNothing(part));
  return parts.length === 0 ? NOTHING : parts.length === 1 ? parts[0]! : { kind: 'or', parts };
}

function and(given: readonly CharRegex[]): CharRegex {
  const parts = given.filter((part) => part !== ANY_TEXT);
  if (parts.some(isNothing)) return NOTHING;
  if (parts.some((part) => part.kind === 'empty')) return parts.every(matchesEmpty) ? EMPTY : NOTHING;
  return parts.length === 0 ? ANY_TEXT : parts.length === 1 ? parts[0]! : { kind: 'and', parts };
}

function not(part: CharRegex): CharRegex {
  if (part.kind === 'not') return part.part;
  return isNothing(part) ? ANY_TEXT : part === ANY_TEXT ? NOTHING : { kind: 'not', part };
}

const repeat = (part: CharRegex, least: number, most: number): CharRegex => ({ kind: 'repeat', part, least, most });
