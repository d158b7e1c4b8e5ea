/** Runs the operations that a CalledProcess asks for, until it goes; says first that it is ready. */
export function serveCalls(operations: Record<string, (request: never) => Promise<unknown>>): void;
