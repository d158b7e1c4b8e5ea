import type { Groups } from '../gpu/kernel.ts';
import type { Operation } from '../gpu/operation.ts';
import { finished } from '../gpu/readback.ts';
import type { Params } from '../gpu/recorder.ts';
import type { Session } from '../session/session.ts';

/** A dispatch that is recorded later. */
export interface Call {
  operation: Operation;
  groups: Groups;
  params: Params;
}

/**
 * Milliseconds of these dispatches: of each of `repeats` submissions of `count` of them, after one to warm up. Errors:
 * `device_lost`.
 */
export async function timeCalls(
  session: Session,
  calls: readonly Call[],
  count: number,
  repeats = 5,
): Promise<number[]> {
  const { device, recorder } = session;
  const times: number[] = [];
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const start = performance.now();
    recorder.inOneGo(() => {
      for (let i = 0; i < count; i++)
        for (const { operation, groups, params } of calls) recorder.run(operation, groups, params);
    });
    await finished(device);
    if (repeat > 0) times.push((performance.now() - start) / count);
  }
  return times;
}
