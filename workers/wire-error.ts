import type { TransferHandler } from 'comlink';
import { transferHandlers } from 'comlink';
import type { ErrorCode, ErrorDetail } from '../src/errors/chunkwise-error.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

/** An error as it crosses between threads: structured cloning would drop `code` and `detail`. */
export interface WireError {
  name: string;
  message: string;
  stack?: string;
  cause?: WireError;
  /** Of a ChunkwiseError. */
  code?: ErrorCode;
  detail?: ErrorDetail;
}

export function toWire(error: unknown): WireError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { name, message, stack, cause } = error;
  return {
    name,
    message,
    ...(stack !== undefined && { stack }),
    ...(cause !== undefined && { cause: toWire(cause) }),
    ...(error instanceof ChunkwiseError && { code: error.code, detail: error.detail }),
  };
}

export function fromWire({ name, message, stack, cause, code, detail }: WireError): Error {
  const options = cause === undefined ? undefined : { cause: fromWire(cause) };
  const error =
    code !== undefined && detail !== undefined
      ? new ChunkwiseError(code, detail, options)
      : Object.assign(new Error(message, options), { name });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** Makes comlink carry errors as `WireError`s. Both threads call it before their first call. */
export function carryErrors(): void {
  const plain = transferHandlers.get('throw');
  if (plain === undefined) throw new Error('comlink has no handler for thrown values');
  const handler: TransferHandler<{ value: unknown }, WireError> = {
    canHandle: (value): value is { value: unknown } => plain.canHandle(value),
    serialize: ({ value }) => [toWire(value), []],
    deserialize: (wire) => {
      throw fromWire(wire);
    },
  };
  transferHandlers.set('throw', handler);
}
