import type { Family, IsaFigures } from './isa.ts';
import type { Traffic } from './traffic.ts';

/** What the kernels that a model spends its time in keep to on a graphics card. */
export const isMain = (kernel: string): boolean =>
  /^(linear|lora|attention|short-conv|causal-conv|delta-rule|gated-norm|rotate-heads|route-experts|group-experts|sum-experts|take-input|cap-logits)/.test(
    kernel,
  );

type IsaBar = Pick<IsaFigures, 'spilled' | 'scratch' | 'waves'>;

/** Nothing goes to memory for want of registers, and while one wave waits there are others: least waves of a SIMD. */
export const ISA_BARS: Record<Family, IsaBar> = {
  navi31: { spilled: 0, scratch: 0, waves: 8 },
  navi21: { spilled: 0, scratch: 0, waves: 8 },
  renoir: { spilled: 0, scratch: 0, waves: 4 },
};

/** Sectors that a load fetches over those that its bytes fill, at most. */
export const SECTORS_BAR = 1.25;

/** Which of a pipeline's figures miss `bar`, each with its value: none where it keeps to it. */
export const missesOf = ({ spilled, scratch, waves }: IsaBar, bar: IsaBar): string[] => [
  ...(spilled > bar.spilled ? [`${spilled} spilled`] : []),
  ...(scratch > bar.scratch ? [`${scratch} bytes of scratch`] : []),
  ...(waves < bar.waves ? [`${waves} waves`] : []),
];

/** Loads that matter: of a dispatch's fetched bytes at least this share. */
const LEAST_SHARE = 0.05;

/** The loads of a dispatch that fetch more sectors than `bar` allows. */
export function wastefulLoads(traffic: readonly Traffic[], bar = SECTORS_BAR): Traffic[] {
  const loads = traffic.filter(({ kind }) => kind === 'load');
  const total = loads.reduce((sum, { fetched }) => sum + fetched, 0);
  return loads.filter(({ sectors, fetched }) => sectors > bar && fetched >= LEAST_SHARE * total);
}
