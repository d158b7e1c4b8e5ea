import { GREEDY } from '../config/sampling.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Drawn } from './decode-steps.ts';
import { greedy } from './decode-run.ts';
import { newSequence } from './sequence.ts';
import type { Session } from './session.ts';

/**
 * Drivers compile at the first dispatch: the first answer should not wait for that. Throws `bad_file` where logits are not
 * finite: weights may be so large that what is computed of them is not.
 */
export async function warmUp(session: Session): Promise<void> {
  const sequence = newSequence();
  const tokens = session.plan.contextLength > 2 ? [0, 0] : [0];
  const everyFilter = { ...GREEDY, temperature: 1, topK: 1, topP: 0.5 };
  let drawn: Promise<Drawn> | undefined;
  await session.prefill(sequence, tokens, (_start, position) => {
    drawn = session.sample(position, { sequence, sampling: everyFilter, position, wantsEntropy: true });
  });
  const entropy = (await drawn)?.entropy;
  if (entropy !== undefined && !Number.isFinite(entropy)) {
    throw new ChunkwiseError('bad_file', { file: session.plan.file, field: 'tensors', reason: 'the first logits that are computed of them are not finite' });
  }
  if (tokens.length > 1) await session.decode([greedy(sequence, tokens.length + 1)]);
  session.release(sequence);
}
