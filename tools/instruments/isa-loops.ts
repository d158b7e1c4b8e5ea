/** Instructions of a loop's body, without those of loops inside it. */
export interface LoopFigures {
  valu: number;
  vmem: number;
}

const VMEM = /^(buffer|tbuffer|global|flat|scratch)_(?!gl\d|wb|inv)/;

/** The loops of a shader in the order of their first instructions, from what Mesa prints. */
export function loopsIn(disassembly: string): LoopFigures[] {
  const lines: string[] = [];
  const labels = new Map<string, number>();
  for (const [, label, line] of disassembly.matchAll(/^(?:(BB\d+):|\s+([a-z]\w+.*))$/gm)) {
    if (label !== undefined) labels.set(label, lines.length);
    else if (line !== undefined) lines.push(line);
  }
  // A loop is what lies between a label and the last jump back to it.
  const ends = new Map<number, number>();
  for (const [i, line] of lines.entries()) {
    const start = labels.get(/^s_c?branch\w*\s+(BB\d+)/.exec(line)?.[1] ?? '');
    if (start !== undefined && start <= i) ends.set(start, i);
  }
  const loops = [...ends].sort(([a], [b]) => a - b).map(([start, end]) => ({ start, end, valu: 0, vmem: 0 }));
  for (const [i, line] of lines.entries()) {
    const innermost = loops.findLast(({ start, end }) => start <= i && i <= end);
    if (!innermost) continue;
    if (line.startsWith('v_')) innermost.valu++;
    if (VMEM.test(line)) innermost.vmem++;
  }
  return loops.map(({ valu, vmem }) => ({ valu, vmem }));
}
