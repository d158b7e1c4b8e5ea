import { estimate } from '../statistics.ts';
import { chunkwiseInNode, llamaInNode } from './node-peers.ts';
import type { Answer, OpenPeer } from './peer.ts';
import { questionOf } from './questions.ts';

const CONTEXT = 32;
/** Tokens of an answer. Our decode takes a sixth of llama.cpp's time on Vulkan, and short times scatter. */
const COUNTS: Record<string, number> = { ours: 49, Vulkan: 9, CPU: 33 };
const ROUNDS = 4;
/** Other load only makes results worse, so bad ones get more rounds. */
const MOST_ROUNDS = 16;

export interface ShortFigures {
  device: string;
  /** Ratios of Chunkwise to llama.cpp by name; lower is better. A test repeats them. */
  ratios: Record<string, number>;
  /** Ratios that depend on the CPU or on other load. */
  loose: Record<string, number>;
}

/**
 * Chunkwise on lavapipe against llama.cpp on lavapipe and on the CPU, in turn; every other round runs backwards.
 * Further rounds run while `isEnough` rejects the ratios.
 */
export async function measureShort(
  isEnough: (ratios: Record<string, number>) => boolean = () => true,
): Promise<ShortFigures> {
  const peers: Record<string, OpenPeer> = {};
  try {
    for (const [name, peer] of Object.entries({
      ours: chunkwiseInNode(512, false),
      Vulkan: llamaInNode('vulkan'),
      CPU: llamaInNode(false),
    })) {
      peers[name] = await peer.open();
    }
    const answers: Record<string, Answer[]> = { ours: [], Vulkan: [], CPU: [] };
    for (let round = 0; round <= MOST_ROUNDS; round++) {
      if (round > ROUNDS && isEnough(ratiosOf(answers, {}).ratios)) break;
      const questionTo = (name: string) => questionOf(round, CONTEXT, COUNTS[name]!);
      const names = Object.keys(peers);
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        const answer = await peers[name]!.answer(await questionTo(name));
        if (round > 0) answers[name]!.push(answer); // the first compiles
      }
    }
    const peaks = Object.fromEntries(
      await Promise.all(Object.entries(peers).map(async ([name, peer]) => [name, await peer.peakBytes()] as const)),
    );
    return { device: peers['ours']!.device, ...ratiosOf(answers, peaks) };
  } finally {
    await Promise.all(Object.values(peers).map((peer) => peer.close()));
  }
}

/** Ratio of ours to theirs: for times the median over rounds, for CPU times of the minima. */
export function ratiosOf(
  answers: Record<string, readonly Answer[]>,
  peaks: Record<string, number>,
): Omit<ShortFigures, 'device'> {
  const over = (other: string, figure: (answer: Answer) => number): number =>
    estimate(answers['ours']!.map((answer, i) => figure(answer) / figure(answers[other]![i]!))).median;
  // Other load only adds CPU time, by caches and shared cores.
  const least = (name: string, figure: (answer: Answer) => number): number => Math.min(...answers[name]!.map(figure));
  const leastOver = (other: string, figure: (answer: Answer) => number): number =>
    least('ours', figure) / least(other, figure);
  const decode = ({ stepMs }: Answer): number => estimate(stepMs).median;
  const cpuTimes = (other: string): Record<string, number> => ({
    [`processor time of a decoded token, to ${other}`]: leastOver(
      other,
      ({ cpu, stepMs }) => (cpu?.stepsMs ?? NaN) / stepMs.length,
    ),
    [`processor time of a prompt, to ${other}`]: leastOver(other, ({ cpu }) => cpu?.promptMs ?? NaN),
  });
  const times = (other: string): Record<string, number> => ({
    [`time of a decoded token, to ${other}`]: over(other, decode),
    [`time of a prompt, to ${other}`]: over(other, ({ promptMs }) => promptMs),
  });
  const memory = (other: string): Record<string, number> => ({
    [`peak memory, to ${other}`]: (peaks['ours'] ?? NaN) / (peaks[other] ?? NaN),
  });
  return {
    ratios: cpuTimes('Vulkan'),
    loose: { ...cpuTimes('CPU'), ...times('Vulkan'), ...times('CPU'), ...memory('Vulkan'), ...memory('CPU') },
  };
}
