/** Python's spelling where JavaScript's differs. */
const RESPELLED: readonly [RegExp, string][] = [
  [/\(\?P</g, '(?<'],
  [/\\A/g, '^'],
  [/\\Z/g, '$'],
];
const MAX_LENGTH = 4000;
/** Most places in a name at which a repetition may end. */
const NAME_CHARS = 40;
/** Ways through a pattern that may have to be tried on a name: four repetitions beside one another, and two choices. */
const MAX_PATHS = 4 * NAME_CHARS ** 4;
/** What begins a group, and what a pattern without classes and escapes consists of. */
const GROUP = /\(\?(?:[:=!]|<[=!]|<\w+>)/g;
const STEPS = /[()|]|(?:[*+]|\{\d+(?:,\d*)?\})\??|\?|[^()|*+{?]+|\{/g;

/**
 * A regular expression of an adapter's config, as Python's `re` reads it. Throws a SyntaxError whose message says why
 * it is not taken: what JavaScript does not know, and what could take very long on a name.
 */
export function modulePattern(source: string): RegExp {
  if (source.length > MAX_LENGTH) throw new SyntaxError(`a pattern of ${source.length} characters`);
  const respelled = RESPELLED.reduce((text, [from, to]) => text.replace(from, to), source);
  const pattern = new RegExp(respelled);
  // Classes and what begins a group hold no choice. What is escaped is a class (of letters), or stands for itself.
  const bare = respelled
    .replace(/\\[a-z0-9]/gi, '.')
    .replace(/\\./g, '-')
    .replace(/\[[^\]]*\]/g, '.')
    .replace(GROUP, '(');
  // Its time can be exponential in the name's length.
  if (/\)(?:[*+]|\{)/.test(bare)) throw new SyntaxError('a repeated group is not taken');
  if (pathsOf(bare) > MAX_PATHS) throw new SyntaxError('has too many repetitions and choices');
  return pattern;
}

/** A group, or the whole pattern, as far as it is read. */
interface Choice {
  /** Paths through the alternatives that are read. */
  paths: number;
  /** Paths through the one that is being read. */
  current: number;
  texts: string[];
}

/** How many ways through a pattern there are at most: factors of what follows one another, sums of alternatives. */
function pathsOf(bare: string): number {
  const begin = (): Choice => ({ paths: 0, current: 1, texts: [''] });
  let choice = begin();
  const around: Choice[] = [];
  for (const [step] of bare.matchAll(STEPS)) {
    if (step === '(') {
      around.push(choice);
      choice = begin();
    } else if (step === ')') {
      const paths = endOf(choice);
      choice = around.pop() ?? begin();
      choice.current *= paths;
      choice.texts.push(`${choice.texts.pop()}()`);
    } else if (step === '|') {
      choice.paths += choice.current;
      choice.current = 1;
      choice.texts.push('');
    } else {
      if (step === '?') choice.current *= 2;
      else if (/^[*+{]/.test(step)) choice.current *= NAME_CHARS;
      choice.texts.push(choice.texts.pop() + step);
    }
  }
  return endOf(choice);
}

/** Of words of which none begins another only one can match. */
function endOf({ paths, current, texts }: Choice): number {
  const sorted = [...texts].sort();
  const isWords =
    texts.every((text) => /^[\w-]+$/.test(text)) && sorted.every((text, i) => !sorted[i + 1]?.startsWith(text));
  return isWords ? 1 : paths + current;
}
