/** Instructions of a loop's body, without those of loops inside it; or those outside all loops. */
export interface LoopFigures {
  valu: number;
  vmem: number;
}

const VMEM = /^(buffer|tbuffer|global|flat|scratch)_(?!gl\d|wb|inv)/;

/** The loops of a shader, in the order of their first instructions, and its other code, from Mesa's disassembly. */
export function loopsIn(disassembly: string): { loops: LoopFigures[]; outside: LoopFigures } {
  const lines: string[] = [];
  const labels = new Map<string, number>();
  for (const [, label, line] of disassembly.matchAll(/^(?:(BB\d+):|\s+([a-z]\w+.*))$/gm)) {
    if (label !== undefined) labels.set(label, lines.length);
    else if (line !== undefined) lines.push(line);
  }
  // A loop extends from a label to the last jump back to it.
  const ends = new Map<number, number>();
  for (const [i, line] of lines.entries()) {
    const start = labels.get(/^s_c?branch\w*\s+(BB\d+)/.exec(line)?.[1] ?? '');
    if (start !== undefined && start <= i) ends.set(start, i);
  }
  const loops = [...ends].sort(([a], [b]) => a - b).map(([start, end]) => ({ start, end, valu: 0, vmem: 0 }));
  const outside = { valu: 0, vmem: 0 };
  for (const [i, line] of lines.entries()) {
    const innermost = loops.findLast(({ start, end }) => start <= i && i <= end) ?? outside;
    if (line.startsWith('v_')) innermost.valu++;
    if (VMEM.test(line)) innermost.vmem++;
  }
  return { loops: loops.map(({ valu, vmem }) => ({ valu, vmem })), outside };
}
