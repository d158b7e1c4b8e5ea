import { ChunkwiseError, type ErrorCode } from '../../errors/chunkwise-error.ts';

/** An error of a route, not of the engine. */
export class HttpError extends Error {
  override readonly name = 'HttpError';

  constructor(
    readonly status: number,
    readonly code: string,
    readonly param: string | null,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

const STATUS: Record<ErrorCode, number> = {
  bad_request: 400,
  unsupported: 400,
  context_overflow: 400,
  queue_full: 429,
  busy: 409,
  aborted: 499, // proxies use it for "client closed the connection"
  abandoned: 408, // the client did not read the answer in time
  bad_file: 500,
  network: 502,
  storage_lost: 503,
  over_limit: 503,
  no_webgpu: 503,
  kernel_refused: 503,
  wrong_results: 503,
  device_lost: 503,
  scheduler_lost: 503,
  disposed: 503,
};

/** An error in OpenAI's form. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string };
}

/** Returns the HTTP status, body and headers for an error. */
export function describeError(error: unknown): { status: number; body: ErrorBody; headers: Record<string, string> } {
  const { status, code, param, headers } = of(error);
  const message = error instanceof Error ? error.message : String(error);
  return { status, body: { error: { message, type: typeOf(status), param, code } }, headers };
}

function of(error: unknown): Pick<HttpError, 'status' | 'code' | 'param' | 'headers'> {
  if (error instanceof HttpError) return error;
  if (!(error instanceof ChunkwiseError)) return { status: 500, code: 'internal_error', param: null, headers: {} };
  // Clients know OpenAI's name, and shorten the conversation.
  const code = error.code === 'context_overflow' ? 'context_length_exceeded' : error.code;
  return { status: STATUS[error.code], code, param: error.detail.field ?? null, headers: {} };
}

function typeOf(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
