/** How large a grammar is. */
export interface GrammarSize {
  /** Characters of its text. */
  text: number;
  rules: number;
  /** How deep groups lie in each other. */
  depth: number;
  /** What compiling it costs: places where any letter may come, those of each repetition counted. */
  states: number;
}

/**
 * Above these the library takes seconds, and with groups in groups its stack ends, after which it reads nothing more.
 * Measured with SmolLM's vocabulary of 49,152 tokens, a busy machine, in CPU seconds: 300 and 1,000 optional properties
 * 0.4 and 1.1 (60 and 200 states), an e-mail address 0.4 (100), five patterns of 1 to 64 letters and digits 1.8 (280).
 */
export const MOST: GrammarSize = { text: 1 << 18, rules: 4000, depth: 100, states: 800 };

/** A repetition of more is not written out by the library. */
const MOST_WRITTEN_OUT = 200;
/** States of a literal's character, of a reference, of a class without letters: few tokens begin there. */
const SMALL = 1 / 256;

const LETTERS = [
  [0x20, 0x20],
  [0x41, 0x5a],
  [0x61, 0x7a],
] as const;

/** What a grammar has too much of. */
export function tooLarge(ebnf: string): string | undefined {
  if (ebnf.length > MOST.text) return `has ${ebnf.length} characters; at most ${MOST.text} are supported`;
  const { rules, depth, states } = sizeOfGrammar(ebnf);
  if (rules > MOST.rules) return `has ${rules} rules; at most ${MOST.rules} are supported`;
  if (depth > MOST.depth) return `has groups nested ${depth} deep; at most ${MOST.depth} are supported`;
  if (states > MOST.states) return 'repeats too many characters, or too many kinds of them';
  return undefined;
}

/** Reads EBNF as @mlc-ai/web-xgrammar has it, leniently: what is wrong with it the library says. */
export function sizeOfGrammar(ebnf: string): GrammarSize {
  // The library puts some rules in place of their names: those that refer to no others.
  const leaves = readRules(ebnf, new Map()).filter(({ refers }) => !refers);
  const rules = readRules(ebnf, new Map(leaves.map(({ name, states }) => [name, states])));
  return {
    text: ebnf.length,
    rules: rules.length,
    depth: rules.reduce((most, { depth }) => Math.max(most, depth), 0),
    states: rules.reduce((sum, { states }) => sum + states, 0),
  };
}

interface Rule {
  name: string;
  states: number;
  refers: boolean;
  depth: number;
}

const TOKEN =
  /#[^\n]*|"(?:[^"\\\n]|\\.)*"?|\[(?:[^\]\\]|\\.)*\]?|\{\s*(\d+)\s*,?\s*(\d*)\s*\}|([A-Za-z_][\w.-]*)(\s*::=)?|[()|]/gs;

/** `leaves`: the states of rules that are put in place of their names. */
function readRules(ebnf: string, leaves: ReadonlyMap<string, number>): Rule[] {
  const rules: Rule[] = [];
  /** Of the groups that are open, and of what was read last of the innermost: as it stands, and where it is repeated. */
  let groups = [0];
  let last = 0;
  let repeated = 0;
  let isFirst = true;
  const take = (): void => {
    groups[groups.length - 1] = (groups.at(-1) ?? 0) + last;
    last = 0;
    repeated = 0;
  };
  const end = (): void => {
    take();
    const rule = rules.at(-1);
    if (rule) rule.states = groups.reduce((sum, states) => sum + states, 0);
    groups = [0];
    isFirst = true;
  };
  for (const [token, least, most, name, isRule] of ebnf.matchAll(TOKEN)) {
    const rule = rules.at(-1);
    if (name !== undefined && isRule !== undefined) {
      end();
      rules.push({ name, states: 0, refers: false, depth: 0 });
    } else if (least !== undefined) {
      last = repeated * Math.min(MOST_WRITTEN_OUT, Math.max(Number(least), Number(most)));
      repeated = last;
    } else if (!token.startsWith('#')) {
      take();
      if (token === '(') groups.push(0);
      else if (token === ')') last = repeated = groups.length > 1 ? (groups.pop() ?? 0) : 0;
      else if (name !== undefined) {
        repeated = leaves.get(name) ?? SMALL;
        last = isFirst ? repeated : SMALL;
        if (rule) rule.refers = true;
      } else if (token !== '|')
        last = repeated = token.startsWith('[') ? statesOfClass(token) : Math.max(0, token.length - 2) * SMALL;
      isFirst = token === '(' || token === '|';
      if (rule) rule.depth = Math.max(rule.depth, groups.length - 1);
    }
  }
  end();
  return rules;
}

/** By how many letters of ASCII it has, the space one of them. */
function statesOfClass(token: string): number {
  if (token.startsWith('[^')) return 1;
  const members = Array.from(
    token.slice(1, -1).matchAll(/\\x(..)|\\u(.{4})|\\U(.{8})|\\?(.)/gsu),
    ([, x, u, U, plain]) => {
      const hex = x ?? u ?? U;
      return hex === undefined ? (plain ?? '') : parseInt(hex, 16);
    },
  );
  const point = (member: string | number = 0): number =>
    typeof member === 'string' ? (member.codePointAt(0) ?? 0) : member;
  let letters = 0;
  for (let i = 0; i < members.length; i++) {
    const isRange = members[i + 1] === '-' && i + 2 < members.length;
    const first = point(members[i]);
    const last = isRange ? point(members[(i += 2)]) : first;
    for (const [least, most] of LETTERS) letters += Math.max(0, Math.min(most, last) - Math.max(least, first) + 1);
  }
  return Math.max(SMALL, Math.min(1, letters / 53));
}
