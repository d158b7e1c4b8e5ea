import type { Page } from 'playwright';

interface HeapUsage {
  usedSize: number;
  backingStorageSize?: number;
}

const INTERVAL_MS = 50;

/**
 * Watches the JavaScript heap and ArrayBuffers of a page and its workers, which must not have started, through the
 * DevTools protocol. `peak`: most bytes of all together.
 */
export async function watchHeap(page: Page): Promise<{ stop: () => { peak: number; samples: number } }> {
  const session = await page.context().newCDPSession(page);
  const waiting = new Map<number, (usage: HeapUsage | undefined) => void>();
  const workers = new Set<string>();
  let calls = 0;
  session.on('Target.attachedToTarget', ({ sessionId }) => void workers.add(sessionId));
  session.on('Target.detachedFromTarget', ({ sessionId }) => void workers.delete(sessionId));
  session.on('Target.receivedMessageFromTarget', ({ message }) => {
    const { id, result } = JSON.parse(message) as { id?: number; result?: HeapUsage };
    if (id !== undefined) waiting.get(id)?.(result);
  });
  // Not flattened: Playwright's own sessions are, and would receive the messages.
  await session.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const ofWorker = async (sessionId: string): Promise<HeapUsage | undefined> => {
    const id = ++calls;
    const answer = new Promise<HeapUsage | undefined>((resolve) => {
      waiting.set(id, resolve);
      setTimeout(() => resolve(undefined), 1000); // for a busy or ended worker
    });
    await session
      .send('Target.sendMessageToTarget', {
        sessionId,
        message: JSON.stringify({ id, method: 'Runtime.getHeapUsage' }),
      })
      .catch(() => undefined);
    return answer.finally(() => waiting.delete(id));
  };
  let peak = 0;
  let samples = 0;
  let isStopped = false;
  const watch = async (): Promise<void> => {
    while (!isStopped) {
      const own: HeapUsage = await session.send('Runtime.getHeapUsage');
      const usages = [own, ...(await Promise.all([...workers].map(ofWorker)))];
      const bytes = usages.reduce((sum, usage) => sum + (usage?.usedSize ?? 0) + (usage?.backingStorageSize ?? 0), 0);
      if (usages.length > 1 && usages.every((usage) => usage !== undefined)) samples++;
      peak = Math.max(peak, bytes);
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
  };
  const watching = watch().catch(() => undefined); // the page may close first
  return {
    stop: () => {
      isStopped = true;
      void watching;
      return { peak, samples };
    },
  };
}
