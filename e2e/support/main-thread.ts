import type { Page } from 'playwright';

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  /** Thread CPU time, in microseconds. */
  tdur?: number;
  args?: { name?: string; data?: { frames?: { processId?: number; url?: string }[] } };
}

/** Runs `work` and returns the CPU times, in milliseconds, of the page's main-thread tasks, longest first. */
export async function mainThreadTasks(page: Page, work: () => Promise<void>): Promise<number[]> {
  const session = await page.context().newCDPSession(page);
  const events: TraceEvent[] = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  const done = new Promise<void>((resolve) => session.on('Tracing.tracingComplete', () => resolve()));
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline'] },
  });
  await work();
  // A task may respond before it ends and is recorded at its end, so before the next response.
  await page.evaluate(() => undefined);
  await session.send('Tracing.end');
  await done;
  const started = events.find((event) => event.name === 'TracingStartedInBrowser');
  // The frame's URL lacks the conversation's part, which may change.
  const plain = (url = ''): string => url.replace(/#.*$/, '');
  const pid = started?.args?.data?.frames?.find(({ url }) => plain(url) === plain(page.url()))?.processId;
  const main = events.find(
    (event) => event.name === 'thread_name' && event.args?.name === 'CrRendererMain' && event.pid === pid,
  );
  if (main === undefined) throw new Error('the trace does not name the page’s main thread');
  const onMain = events.filter(({ pid, tid, tdur }) => pid === main.pid && tid === main.tid && tdur !== undefined);
  const tasks = onMain.filter(({ name }) => name === 'RunTask' || name === 'ThreadControllerImpl::RunTask');
  return tasks.map(({ tdur = 0 }) => tdur / 1000).sort((a, b) => b - a);
}

/**
 * The CPU time of the longest main-thread task of `work`, in milliseconds: the least of up to three runs, until one is
 * below `limit`. What the page computes stands in each run; what a virtual machine's host took away meanwhile, which the
 * thread's clock counts too, does not.
 */
export async function longestTask(page: Page, limit: number, work: () => Promise<void>): Promise<number> {
  let least = Infinity;
  for (let run = 0; run < 3 && least >= limit; run++) {
    least = Math.min(least, (await mainThreadTasks(page, work))[0] ?? Infinity);
  }
  return least;
}
