import { GREEDY } from '../config/sampling.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { readOnce } from '../gpu/readback.ts';
import type { DrawnToken } from './sampling/draw-request.ts';
import { greedy } from './sampling/greedy-draw.ts';
import { mayUsePolicies, residualShares } from './pages/residual-shares.ts';
import { Sequence } from './sequence.ts';
import type { Session } from './session.ts';

/** Of a submission: what a driver compiles counts as its time, and some end a device that one keeps for seconds. */
const FEW_DISPATCHES = 16;

/**
 * Drivers compile at the first dispatch: the first answer should not wait for that. Throws `bad_file` where logits are not
 * finite: weights may be so large that what is computed of them is not.
 */
export async function warmUp(session: Session): Promise<void> {
  const { recorder } = session;
  const { mostDispatches } = recorder;
  recorder.mostDispatches = Math.min(mostDispatches, FEW_DISPATCHES);
  try {
    await firstSteps(session);
  } finally {
    recorder.mostDispatches = mostDispatches;
  }
}

async function firstSteps(session: Session): Promise<void> {
  const sequence = new Sequence();
  const tokens = session.plan.contextLength > 2 ? [0, 0] : [0];
  const everyFilter = { ...GREEDY, temperature: 1, topK: 1, topP: 0.5 };
  let drawn: Promise<DrawnToken> | undefined;
  await session.prefill(sequence, tokens, (_start, position) => {
    drawn = session.sample(position, { sequence, sampling: everyFilter, position, wantsEntropy: true });
  });
  await drawn;
  if (mayUsePolicies(session)) session.trials.residualShares = await residualShares(session);
  if (tokens.length > 1) {
    await session.decode([greedy(sequence, tokens.length + 1)]);
    await expectFinite(session);
  }
  session.release(sequence);
}

/** Of the latest step's first row, which a greedy draw leaves as they are. */
async function expectFinite({ device, plan, transformer: { activations } }: Session): Promise<void> {
  const row = { buffer: activations.logits, offset: 0, size: plan.config.vocabSize * 4 };
  const logits = new Float32Array(await readOnce(device, 'logits', [row]));
  if (logits.every(Number.isFinite)) return;
  throw new ChunkwiseError('bad_file', {
    file: plan.file,
    field: 'tensors',
    reason: 'the first logits that are computed of them are not finite',
  });
}
