const FOR = /^\s*#for (\w+) in (\w+)$/;
const END = /^\s*#end$/;

/**
 * Writes loops of a shader out: the lines from `#for n in COUNT` to its `#end`, once for each n below the constant
 * COUNT, with `#n` replaced. For what has to stay in registers: an array that is indexed by what a loop counts does not.
 */
export function unroll(source: string, constants: Readonly<Record<string, unknown>>): string {
  const lines = source.split('\n');
  const text: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string;
    const [, name, count = ''] = FOR.exec(line) ?? [];
    if (name === undefined) {
      text.push(line);
      continue;
    }
    const times = constants[count];
    if (typeof times !== 'number') throw new Error(`#for: ${count} is not a whole constant`);
    const end = endOf(lines, at);
    const body = lines.slice(at + 1, end).join('\n');
    for (let n = 0; n < times; n++) text.push(unroll(body.replaceAll(`#${name}`, String(n)), constants));
    at = end;
  }
  return text.join('\n');
}

function endOf(lines: readonly string[], start: number): number {
  let depth = 0;
  for (let at = start; at < lines.length; at++) {
    const line = lines[at] as string;
    if (FOR.test(line)) depth++;
    if (END.test(line) && --depth === 0) return at;
  }
  throw new Error('#for: no #end');
}
