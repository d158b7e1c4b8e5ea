import type { Groups } from './kernel.ts';

/** What every device takes in each dimension of a dispatch (WebGPU's maxComputeWorkgroupsPerDimension). */
export const MAX_GROUPS = 65_535;

/** A grid of at least `count` workgroups, in rows as far as one does not hold them: number y · (groups in x) + x. */
export function folded(count: number): Groups {
  const rows = Math.ceil(count / MAX_GROUPS);
  return [Math.ceil(count / rows), rows];
}
