/** Python's spelling where JavaScript's differs. */
const RESPELLED: readonly [RegExp, string][] = [
  [/\(\?P</g, '(?<'],
  [/\\A/g, '^'],
  [/\\Z/g, '$'],
];
const MAX_LENGTH = 4000;
/** On names of some 40 characters, this many loops beside one another try below a million paths. */
const MAX_LOOPS = 6;

/**
 * A regular expression of an adapter's config, as Python's `re` reads it. Throws a SyntaxError whose message says why
 * it is not taken: what JavaScript does not know, and what could take very long on a name.
 */
export function modulePattern(source: string): RegExp {
  if (source.length > MAX_LENGTH) throw new SyntaxError(`a pattern of ${source.length} characters`);
  const respelled = RESPELLED.reduce((text, [from, to]) => text.replace(from, to), source);
  const pattern = new RegExp(respelled);
  checkLoops(respelled);
  return pattern;
}

/** Refuses repeated groups, whose time can be exponential in the name's length, and many loops in one pattern. */
function checkLoops(source: string): void {
  // Escapes and classes hold no loop and no group.
  const bare = source.replace(/\\./g, 'x').replace(/\[[^\]]*\]/g, 'x');
  const loops = bare.match(/.(?:[*+]|\{\d+(?:,\d*)?\})/g) ?? [];
  if (loops.some((loop) => loop.startsWith(')'))) throw new SyntaxError('a repeated group is not taken');
  if (loops.length > MAX_LOOPS) throw new SyntaxError(`${loops.length} repetitions; at most ${MAX_LOOPS} are taken`);
}
