/** Exposes the package and the clients' real packages to the page's console, and so to the tests. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  embed,
  experimental_decide as decide,
  generateObject,
  generateText,
  isStepCount,
  jsonSchema,
  Output,
  streamText,
  tool,
} from 'ai';
import OpenAI from 'openai';
import { decisionModel } from '../../src/ai-sdk/index.ts';
import { createEngine, type Engine } from '../../src/api/index.ts';
import { provideEngine } from '../../src/service-worker/index.ts';

const packages = {
  OpenAI,
  createOpenAICompatible,
  ai: { decide, embed, generateObject, generateText, isStepCount, jsonSchema, Output, streamText, tool },
  createEngine,
  decisionModel,
  provideEngine,
};

type Packages = typeof packages;

/** How a page reaches an engine. */
interface Reach {
  baseURL: string;
  fetch: typeof fetch;
}

declare global {
  var clients: Packages;
  var held: Engine;
  var reach: Reach;
  var openai: OpenAI;
}

globalThis.clients = packages;
const script = new URLSearchParams(location.search).get('sw') ?? 'sw.js';
await navigator.serviceWorker.register(`/${script}`, { type: 'module' });
await navigator.serviceWorker.ready;
