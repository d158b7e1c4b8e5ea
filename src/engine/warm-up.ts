import { type CachePolicy, oldPagesAs } from '../cache/policy.ts';
import { GREEDY } from '../config/sampling.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { Drawn } from './decode-steps.ts';
import { greedy } from './decode-run.ts';
import { newSequence } from './sequence.ts';
import type { Session } from './session.ts';

/** Drivers compile at the first dispatch: the first answer should not wait for that. */
export async function warmUp(session: Session): Promise<void> {
  const sequence = newSequence();
  const tokens = session.plan.contextLength > 2 ? [0, 0] : [0];
  const everyFilter = { ...GREEDY, temperature: 1, topK: 1, topP: 0.5 };
  let drawn: Promise<Drawn> | undefined;
  await session.prefill(sequence, tokens, (_start, position) => {
    drawn = session.sample(position, { sequence, sampling: everyFilter, position, wantsEntropy: true });
  });
  await drawn;
  if (tokens.length > 1) await session.decode([greedy(sequence, tokens.length + 1)]);
  session.release(sequence);
}

/** The first page, one that may change, and a recent one. */
const PAGES = 3;
/** A trial is written and probed, concluded, and read. */
const STEPS = 3;

/** Tries one page in another form, and takes it. */
const ONE_PAGE: CachePolicy = {
  key: 'warm-up',
  trials: (view) => oldPagesAs(view, 'q8').slice(0, 1),
  choose: (trials) => [...trials],
};

/** The same for what writes, probes and reads pages in other forms than f16. What they hold does not matter. */
export async function warmUpPageForms(session: Session): Promise<void> {
  const first = PAGES * PAGE_TOKENS;
  if (session.plan.contextLength < first + STEPS) return; // no page of so short a text ever changes
  const sequence = newSequence(undefined, 0, ONE_PAGE);
  sequence.tokens.push(...new Array<number>(first).fill(0));
  session.sequences.reserve(sequence, first);
  for (let step = 1; step <= STEPS; step++) {
    await session.decode([greedy(sequence, first + step)]);
    sequence.tokens.push(0);
  }
  session.release(sequence);
}
