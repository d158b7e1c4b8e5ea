import { describe, expect, test } from 'vitest';
import { errorWords } from '../../demo/basics/error-words.ts';
import { ChunkwiseError, type ErrorCode, type ErrorDetail } from '../../src/errors/chunkwise-error.ts';
import { pickleError } from '../../src/errors/pickle-error.ts';
import { openModelFile } from '../../src/weights/open-model-file.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { pickModelFiles } from '../../src/hub/pick-files.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

const opening = (error: unknown): string => errorWords(error, 'opening').title;
const error = (code: ErrorCode, detail: Partial<ErrorDetail> = {}) =>
  new ChunkwiseError(code, { reason: 'it is so', ...detail });
/** The error that `work` throws. */
const thrownBy = async (work: () => unknown): Promise<unknown> => {
  try {
    await work();
  } catch (thrown) {
    return thrown;
  }
  throw new Error('nothing was thrown');
};
const read = (bytes: Uint8Array) => openModelFile([new BytesSource('model.gguf', bytes)]);

describe('a model that cannot be opened', () => {
  test('is reported as not found, not as a network error', async () => {
    expect(opening(error('network', { reason: 'status 404' }))).toBe('The model was not found');
    expect(opening(error('network', { reason: 'status 401: the file needs a token' }))).toBe(
      'The model was not found, or is not public',
    );
    expect(opening(error('network', { reason: 'TypeError: Failed to fetch' }))).toBe(
      'The model could not be downloaded',
    );
    const repo = { files: [], commit: 'c', license: undefined };
    const missing = () => pickModelFiles({ repo: 'owner/name', revision: 'main', file: 'a.gguf' }, repo, 1);
    expect(opening(await thrownBy(missing))).toBe('The model was not found');
    expect(opening(error('bad_request', { field: 'model', reason: 'is no URL' }))).toBe(
      'This is not the address of a model',
    );
  });

  test('is reported as no model, or as an unsupported kind or file type', async () => {
    const page = new TextEncoder().encode('<!doctype html><title>A model</title>'.repeat(9));
    expect(opening(await thrownBy(() => read(page)))).toBe('This file is not a model');
    const metadata = { 'general.architecture': 'mamba' };
    const other = tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1, metadata });
    expect(opening(await thrownBy(async () => readModelConfig(await read(other))))).toBe(
      'This kind of model is not supported',
    );
    expect(opening(pickleError('model.bin', 'model'))).toBe('This type of file is not supported');
    const future = tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1 });
    future[4] = 9; // its version
    expect(opening(await thrownBy(() => read(future)))).toBe('This type of file is not supported');
  });

  test('is reported as too large for the device or the storage', () => {
    expect(opening(error('over_limit', { field: 'rope table' }))).toBe('This model is too large for this device');
    expect(opening(error('over_limit', { field: 'storage' }))).toBe('The browser has no room left');
  });
});
