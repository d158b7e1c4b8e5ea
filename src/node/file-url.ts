import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ToUrl } from '../api/options.ts';

/** What is no URL is the path of a file or a folder. */
export const fileOrUrl: ToUrl = (text) =>
  /^(?:https?|file|blob|data):/i.test(text) ? new URL(text) : pathToFileURL(resolve(text));

export const isFileUrl = (file: unknown): file is string => typeof file === 'string' && file.startsWith('file:');
