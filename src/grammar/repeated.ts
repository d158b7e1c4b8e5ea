/** Above so many times the library (0.1.27) takes too few bytes of a class beyond ASCII, or none, and a mask takes up to seconds. */
const MOST_AT_ONCE = 128;
const BLOCK = 64;

/**
 * EBNF of `ebnf` from `least` to `most` times. Many times are counted in blocks, of which each is a rule: `rule` makes one
 * and gives its name, the same one for the same EBNF (docs/decisions/grammars.md, Counts).
 */
export function repeated(ebnf: string, least: number, most: number, rule: (ebnf: string) => string): string {
  if (most === Infinity && least <= 1) return `${ebnf}${least === 1 ? '+' : '*'}`;
  if (least === 0 && most === 1) return `${ebnf}?`;
  if (most === Infinity) return `${repeated(ebnf, least, least, rule)} ${ebnf}*`;
  if (most <= MOST_AT_ONCE) return `${ebnf}{${least},${most}}`;
  const block = rule(`${ebnf}{${BLOCK},${BLOCK}} nothing`);
  const behind = repeated(ebnf, Math.max(0, least - BLOCK), most - BLOCK, rule);
  if (least >= BLOCK) return `${block} ${behind}`;
  return rule(`${rule(`${ebnf}{${least},${BLOCK - 1}} nothing`)} | ${block} ${behind}`);
}
