import { ChunkwiseError, type ErrorCode } from '../../errors/chunkwise-error.ts';
import { isRecord } from '../../config/is-record.ts';
import { describe, refuse } from '../checks.ts';
import { refuseUnknown, type ToUrl } from '../options.ts';
import type { FallbackOptions } from '../types.ts';

const FIELDS: Record<keyof FallbackOptions, true> = { baseURL: true, apiKey: true, model: true, fetch: true };

/** Checks the fallback's options. Throws `bad_request`, naming the field; the key is not told. */
export function parseFallback(value: unknown, toUrl: ToUrl): FallbackOptions | undefined {
  if (value === undefined) return undefined;
  if (!isRecord(value)) refuse('fallback', `must be an object, but is ${describe(value)}`);
  refuseUnknown(value, FIELDS, 'fallback');
  const { baseURL, apiKey, model, fetch } = value;
  const url = typeof baseURL === 'string' ? urlOf(baseURL, toUrl) : undefined;
  if (!url) refuse('fallback.baseURL', `must be a URL, but is ${describe(baseURL)}`);
  if (apiKey !== undefined && (typeof apiKey !== 'string' || !/^[\x20-\x7e]*$/.test(apiKey)))
    refuse('fallback.apiKey', 'must be a string that a header can hold');
  if (model !== undefined && typeof model !== 'string')
    refuse('fallback.model', `must be a string, but is ${describe(model)}`);
  if (fetch !== undefined && typeof fetch !== 'function')
    refuse('fallback.fetch', `must be a function, but is ${describe(fetch)}`);
  return {
    baseURL: url.href,
    ...(apiKey !== undefined && { apiKey }),
    ...(model !== undefined && { model }),
    ...(fetch !== undefined && { fetch: fetch as typeof globalThis.fetch }),
  };
}

/** Undefined where it is none. */
function urlOf(text: string, toUrl: ToUrl): URL | undefined {
  try {
    return toUrl(text);
  } catch {
    return undefined;
  }
}

const REASONS: readonly ErrorCode[] = ['no_webgpu', 'kernel_refused', 'wrong_results', 'over_limit', 'device_lost'];

/**
 * The device cannot run this model: it has no WebGPU, does not compile the kernels or computes them wrong, the model is too large, or its GPU stops
 * while the model is loaded.
 */
export function canFallBack(error: unknown): error is ChunkwiseError {
  return error instanceof ChunkwiseError && REASONS.includes(error.code);
}
