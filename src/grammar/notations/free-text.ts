import type { Regex, Regexes } from '../regex/regexes.ts';

/** The id of a control token by its name, such as `<|im_end|>`; undefined: none. */
export type ControlTokens = (name: string) => number | undefined;

/** Strings of `regex` without a proper prefix that `regex` also matches: the shortest matches. */
export function lazy(regex: Regex, regexes: Regexes): Regex {
  return regexes.and(regex, regexes.not(regexes.concat(regex, someBytes(regexes))));
}

/** Strings of `regex` without a prefix that `beginning` matches. */
export function notBeginning(regex: Regex, beginning: Regex, regexes: Regexes): Regex {
  return regexes.and(regex, regexes.not(regexes.concat(beginning, regexes.anyBytes)));
}

/** Strings of `regex` that do not contain a string of `part`. */
export function without(regex: Regex, part: Regex, regexes: Regexes): Regex {
  return regexes.and(regex, regexes.not(regexes.concat(regexes.anyBytes, part, regexes.anyBytes)));
}

/** Text without any of these words. It may contain prefixes of them. */
export function textWithout(words: readonly string[], regexes: Regexes, text = regexes.anyText): Regex {
  return words.length === 0 ? text : without(text, anyOf(words, regexes), regexes);
}

/**
 * Text up to and including the first of `ends`. No word of `ends` or `others` ends earlier; if several words end at the
 * same place, each of them is found.
 */
export function textUpTo(
  ends: readonly string[],
  others: readonly string[],
  regexes: Regexes,
  text = regexes.anyText,
): Regex {
  const found = regexes.concat(text, anyOf(ends, regexes));
  const earlier = regexes.concat(regexes.anyBytes, anyOf([...ends, ...others], regexes), someBytes(regexes));
  return regexes.and(found, regexes.not(earlier));
}

/** One of these words. */
export function anyOf(words: readonly string[], regexes: Regexes): Regex {
  return regexes.or(...words.map((word) => regexes.text(word)));
}

const someBytes = (regexes: Regexes): Regex => regexes.concat(regexes.bytes([[0, 255]]), regexes.anyBytes);
