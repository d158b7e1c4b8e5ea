import * as webllm from '../../src/web-llm/index.ts';
import { getStarted } from './get-started.ts';

declare global {
  var webllm: typeof import('../../src/web-llm/index.ts');
  var getStarted: (model: string) => Promise<webllm.ChatCompletion>;
}

Object.assign(globalThis, { webllm, getStarted });
