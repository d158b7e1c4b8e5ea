import type { Family, IsaFigures } from './isa.ts';
import type { Traffic } from './traffic.ts';

/** Whether a kernel takes much of a model's time; the bars apply to such kernels. */
export const isMain = (kernel: string): boolean =>
  /^(linear|lora|attention|short-conv|causal-conv|delta-rule|gated-norm|rotate-heads|route-experts|group-experts|sum-experts|take-input|cap-logits)/.test(
    kernel,
  );

type IsaBar = Pick<IsaFigures, 'spilled' | 'scratch' | 'waves'>;

/** No register is spilled, and a SIMD has at least `waves` waves, so that others run while one waits. */
export const ISA_BARS: Record<Family, IsaBar> = {
  navi31: { spilled: 0, scratch: 0, waves: 8 },
  navi21: { spilled: 0, scratch: 0, waves: 8 },
  renoir: { spilled: 0, scratch: 0, waves: 4 },
};

/** Most sectors that a load fetches, over the sectors that its bytes fill. */
export const SECTORS_BAR = 1.25;

/** The figures of a pipeline that miss `bar`, with their values. */
export const missesOf = ({ spilled, scratch, waves }: IsaBar, bar: IsaBar): string[] => [
  ...(spilled > bar.spilled ? [`${spilled} spilled`] : []),
  ...(scratch > bar.scratch ? [`${scratch} bytes of scratch`] : []),
  ...(waves < bar.waves ? [`${waves} waves`] : []),
];

/** Least share of a dispatch's fetched bytes of a load that matters. */
const LEAST_SHARE = 0.05;

/** The loads of a dispatch that fetch more sectors than `bar` allows. */
export function wastefulLoads(traffic: readonly Traffic[], bar = SECTORS_BAR): Traffic[] {
  const loads = traffic.filter(({ kind }) => kind === 'load');
  const total = loads.reduce((sum, { fetched }) => sum + fetched, 0);
  return loads.filter(({ sectors, fetched }) => sectors > bar && fetched >= LEAST_SHARE * total);
}
