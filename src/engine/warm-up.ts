import { GREEDY } from '../config/sampling.ts';
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
