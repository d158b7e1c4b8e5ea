/** The same promise, awaited later: should what comes before fail, nobody does. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
