import type { GrammarBuilder, Sym } from '../grammar.ts';
import { GrammarError } from '../limits.ts';
import type { Regex } from '../regex/regexes.ts';
import { lower, parsePattern } from '../regex/syntax.ts';
import { orAll } from './expressions.ts';
import { MOST_CHARACTERS } from './text-reader.ts';

/** Answers that a JavaScript regular expression matches as a whole. Throws a `GrammarError`. */
export function regexGrammar(pattern: string, builder: GrammarBuilder): Sym {
  return builder.terminal(regexOf(pattern, builder));
}

/** Expression of the texts that a JavaScript regular expression matches as a whole. */
export function regexOf(pattern: string, builder: GrammarBuilder): Regex {
  if (pattern.length > MOST_CHARACTERS) {
    throw new GrammarError(`has ${pattern.length} characters, but at most ${MOST_CHARACTERS} are supported`);
  }
  const { fuel, regexes } = builder;
  parsePattern(pattern, 'ecma', { fuel }); // before it is put in parentheses, which it must not close
  return lower(parsePattern(`^(?:${pattern})$`, 'ecma', { fuel }), regexes);
}

/** Answers that are one of these texts. Throws a `GrammarError` if there are none, or they are too long. */
export function choiceGrammar(choices: readonly string[], builder: GrammarBuilder): Sym {
  if (choices.length === 0) throw new GrammarError('has no choices');
  const characters = choices.reduce((sum, { length }) => sum + length, 0);
  if (characters > MOST_CHARACTERS) {
    throw new GrammarError(`has ${characters} characters, but at most ${MOST_CHARACTERS} are supported`);
  }
  const { regexes } = builder;
  return builder.terminal(
    orAll(
      choices.map((choice) => regexes.text(choice)),
      regexes,
    ),
  );
}
