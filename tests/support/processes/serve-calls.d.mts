/** Reports that it is ready, then runs the operations that a CalledProcess requests until that disconnects. */
export function serveCalls(operations: Record<string, (request: never) => Promise<unknown>>): void;
