import { EventSourceParserStream } from 'eventsource-parser/stream';
import { abortError, ChunkwiseError, type ErrorCode } from '../../errors/chunkwise-error.ts';
import { isRecord } from '../../util/values.ts';
import { checked, checkJson } from '../checks.ts';
import type { FallbackOptions } from '../engine-types.ts';

/** Client of an OpenAI-compatible server. No error shows its key. */
export class ServerClient {
  /** Ends with a slash. */
  readonly baseURL: string;
  readonly #gone = new AbortController();

  constructor(private readonly options: FallbackOptions) {
    this.baseURL = options.baseURL.replace(/\/*$/, '/');
  }

  /** Returns the response, whatever its status. Errors: `network`, `aborted`, `disposed`. */
  async send(route: string, init: RequestInit, signal: AbortSignal | undefined): Promise<Response> {
    const { apiKey, fetch: send = globalThis.fetch } = this.options;
    const headers = new Headers({ ...(init.body ? { 'content-type': 'application/json' } : {}) });
    if (apiKey !== undefined) headers.set('authorization', `Bearer ${apiKey}`);
    const either = AbortSignal.any([this.#gone.signal, ...(signal ? [signal] : [])]);
    try {
      const response = await send(this.baseURL + route, { ...init, headers, signal: either });
      return response.ok ? response : await this.#withoutKey(response);
    } catch (cause) {
      throw this.#failure(cause, signal);
    }
  }

  /** Returns the server's answer. Errors: those of `send`, and those of the server by its status. */
  async call<T>(route: string, body?: object, signal?: AbortSignal): Promise<T> {
    const response = await this.#sendChecked(route, body, signal);
    return this.#reading(signal, async () => (await response.json()) as T);
  }

  /** Returns the chunks that the server streams. Errors: those of `call`. */
  async stream<T>(route: string, body: object, signal?: AbortSignal): Promise<AsyncGenerator<T, void>> {
    const response = await this.#sendChecked(route, body, signal);
    return this.#chunks(response, signal);
  }

  dispose(): void {
    this.#gone.abort();
  }

  async *#chunks<T>(response: Response, signal: AbortSignal | undefined): AsyncGenerator<T, void> {
    const events = response.body
      ?.pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream())
      .getReader();
    try {
      for (;;) {
        const next = await this.#reading(
          signal,
          () => events?.read() ?? Promise.resolve({ done: true as const, value: undefined }),
        );
        if (next.done || next.value.data === '[DONE]') return;
        const chunk = JSON.parse(next.value.data) as unknown;
        if (isRecord(chunk) && 'error' in chunk) throw this.#refusal(500, chunk);
        yield chunk as T;
      }
    } finally {
      await events?.cancel().catch(() => undefined); // the body may have failed already
    }
  }

  async #sendChecked(route: string, body: object | undefined, signal: AbortSignal | undefined): Promise<Response> {
    const init = body ? { method: 'POST', body: checked('request', () => asJson(body)) } : {};
    const response = await this.send(route, init, signal);
    if (response.ok) return response;
    const said: unknown = await response.json().catch(() => undefined);
    throw this.#refusal(response.status, said);
  }

  async #reading<T>(signal: AbortSignal | undefined, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (cause) {
      throw this.#failure(cause, signal);
    }
  }

  #failure(cause: unknown, signal: AbortSignal | undefined): ChunkwiseError {
    if (this.#gone.signal.aborted) return new ChunkwiseError('disposed', { reason: 'the engine was disposed' });
    if (signal?.aborted) return abortError(signal, 'the request');
    return new ChunkwiseError('network', { file: this.baseURL, reason: this.#clean(String(cause)) });
  }

  /** Converts the server's error to one of this package. */
  #refusal(status: number, said: unknown): ChunkwiseError {
    const error = isRecord(said) && isRecord(said['error']) ? said['error'] : {};
    const { message, param, code, type } = error;
    const reason = this.#clean(typeof message === 'string' ? message : `status ${status}`);
    const isLong = [code, type].some(
      (name) => name === 'context_length_exceeded' || name === 'exceed_context_size_error',
    );
    const field = typeof param === 'string' ? param : undefined;
    const detail = { file: this.baseURL, ...(field !== undefined && { field }), reason };
    return new ChunkwiseError(isLong ? 'context_overflow' : codeOf(status), detail);
  }

  async #withoutKey(response: Response): Promise<Response> {
    const { status, headers } = response;
    const type = headers.get('content-type') ?? 'application/json';
    return new Response(this.#clean(await response.text()), { status, headers: { 'content-type': type } });
  }

  #clean(text: string): string {
    const { apiKey } = this.options;
    return apiKey ? text.replaceAll(apiKey, '…') : text;
  }
}

function asJson(body: object): string {
  checkJson(body, 'request');
  return JSON.stringify(body);
}

function codeOf(status: number): ErrorCode {
  if (status === 429) return 'queue_full';
  return status === 400 || status === 404 || status === 422 ? 'bad_request' : 'network';
}
