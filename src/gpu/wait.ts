/** Resolves when `work` does; a host may do better than plain awaiting. */
export type Wait = <T>(work: Promise<T>) => Promise<T>;

/** A queue with nothing to do is waited for in less time, unless the browser looks at it by a clock. */
const IDLE_MS = 40;
/** Between two looks. Timers are no finer where one sets the next. */
const LOOK_MS = 4;

/**
 * How this queue is best waited for. Firefox looks every 100 ms whether work is done, and at each submission: there
 * nothing is submitted, again and again, until it is.
 */
export async function waitFor(queue: GPUQueue): Promise<Wait> {
  if ((await idleWait(queue)) < IDLE_MS) return (work) => work;
  return async (work) => {
    let settled = false;
    const settle = (): void => void (settled = true);
    work.then(settle, settle);
    while (!settled) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      queue.submit([]);
    }
    return work;
  };
}

/** Milliseconds that it takes to hear that nothing is to do. The second time: the clock may be about to strike. */
async function idleWait(queue: GPUQueue): Promise<number> {
  const idle = (): Promise<unknown> => queue.onSubmittedWorkDone().catch(() => undefined); // a loss is reported where it matters
  await idle();
  const began = performance.now();
  await idle();
  return performance.now() - began;
}
