import type { Regex, Regexes } from '../regex/regexes.ts';

/** The id of a control token by its name, such as `<|im_end|>`; undefined where there is none. */
export type ControlTokens = (name: string) => number | undefined;

/** What of `regex` has no shorter beginning that it matches too: it ends as soon as it can. */
export function lazy(regex: Regex, regexes: Regexes): Regex {
  return regexes.and(regex, regexes.not(regexes.concat(regex, someBytes(regexes))));
}

/** What of `regex` does not begin with what `beginning` matches. */
export function notBeginning(regex: Regex, beginning: Regex, regexes: Regexes): Regex {
  return regexes.and(regex, regexes.not(regexes.concat(beginning, regexes.anyBytes)));
}

/** What of `regex` has nothing in it that `part` matches. */
export function without(regex: Regex, part: Regex, regexes: Regexes): Regex {
  return regexes.and(regex, regexes.not(regexes.concat(regexes.anyBytes, part, regexes.anyBytes)));
}

/** Text in which none of these words is. Beginnings of them may be. */
export function textWithout(words: readonly string[], regexes: Regexes, text = regexes.anyText): Regex {
  return words.length === 0 ? text : without(text, anyOf(words, regexes), regexes);
}

/**
 * Text up to the first of `ends`, with it. None of `ends` and `others` ends before its end: of words that end at the
 * same place each is found.
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
