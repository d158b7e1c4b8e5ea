import { describeError } from './http-error.ts';

/**
 * Server-sent events: each item as JSON, then `[DONE]`; an error in the middle as an event in OpenAI's form, which ends
 * them. The stream is read as fast as its reader asks; cancelling it ends the iteration.
 */
export function eventStream(items: AsyncIterator<unknown, void>, signal: AbortSignal): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const event = (data: string): Uint8Array => encoder.encode(`data: ${data}\n\n`);
  return new ReadableStream({
    start(controller) {
      // As a body does whose fetch is aborted.
      const onAbort = (): void => {
        controller.error(signal.reason);
        void items.return?.();
      };
      if (signal.aborted) onAbort(); // since its first item was asked for
      signal.addEventListener('abort', onAbort);
    },
    async pull(controller) {
      try {
        const { done, value } = await items.next();
        if (signal.aborted) return;
        controller.enqueue(event(done ? '[DONE]' : JSON.stringify(value)));
        if (done) controller.close();
      } catch (error) {
        if (signal.aborted) return;
        controller.enqueue(event(JSON.stringify(describeError(error).body)));
        controller.close();
      }
    },
    async cancel() {
      await items.return?.();
    },
  });
}
