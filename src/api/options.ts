import type { LoadOptions } from '../../workers/protocol.ts';
import { checkInteger, describe, isRecord, refuse } from './checks.ts';
import type { EngineOptions } from './types.ts';

/** Checks `createEngine`'s options. Throws `bad_request`, naming the field. */
export function parseEngineOptions(options: EngineOptions, baseUrl: string): LoadOptions {
  if (!isRecord(options)) refuse('options', `must be an object, but is ${describe(options)}`);
  const integer = (name: 'contextLength' | 'memoryLimitBytes' | 'queueLimit', least: number): number | undefined =>
    options[name] === undefined ? undefined : checkInteger(options[name], name, least);
  return {
    model: parseModel(options.model, baseUrl),
    contextLength: integer('contextLength', 1),
    memoryLimitBytes: integer('memoryLimitBytes', 1),
    queueLimit: integer('queueLimit', 0),
  };
}

function parseModel(model: unknown, baseUrl: string): LoadOptions['model'] {
  if (typeof model === 'string') {
    if (model === '') refuse('model', 'is empty');
    try {
      return new URL(model, baseUrl).href;
    } catch {
      return refuse('model', `${describe(model)} is not a URL`);
    }
  }
  const files: unknown[] = Array.isArray(model) ? model : [model];
  if (files.length === 0) refuse('model', 'no file was given');
  return files.map((file) => {
    if (!(file instanceof Blob)) refuse('model', `must be a URL, a Blob or Blobs, but is ${describe(file)}`);
    return file;
  });
}
