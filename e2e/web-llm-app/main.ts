import * as webllm from '../../src/web-llm/index.ts';
import { getStarted } from './get-started.ts';

export interface WebLlmApp {
  webllm: typeof webllm;
  getStarted: typeof getStarted;
}

declare global {
  var app: WebLlmApp;
}

globalThis.app = { webllm, getStarted };
