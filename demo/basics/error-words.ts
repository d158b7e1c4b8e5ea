import type { ErrorCode } from '../../src/api/index.ts';
import { ChunkwiseError } from '../../src/api/index.ts';

interface Words {
  title: string;
  /** What the reader can do about it. */
  advice: string;
  /** For whoever wants to know exactly. */
  detail: string;
}

const WORDS: Record<ErrorCode, [title: string, advice: string]> = {
  no_webgpu: [
    'This browser has no WebGPU here',
    'Use a current Chrome, Edge, Firefox or Safari with a GPU, and open the page by https or on localhost.',
  ],
  kernel_refused: [
    'This browser does not compile what models run on',
    'Update it and the graphics driver, or use a current Chrome, Edge, Firefox or Safari.',
  ],
  wrong_results: ['This GPU computes wrong answers', 'Update its driver and the browser, or use another device.'],
  network: ['The model could not be downloaded', 'Check the connection and the model’s address, then try again.'],
  storage_lost: [
    'What was stored here has been deleted',
    'The site’s data were cleared, or another tab deleted the model. Try again: it is downloaded anew.',
  ],
  bad_file: ['This file is not a model that can be read', 'It may be damaged. Try another GGUF file.'],
  unsupported: [
    'This kind of model is not supported',
    'Llama, Qwen2, Qwen3, SmolLM3, Gemma 3, Gemma 4 E2B and E4B, Phi-3, Ministral 3 and Granite models run here. Try another model.',
  ],
  over_limit: ['This model is too large for this device', 'Try a smaller model, or one with fewer bits per weight.'],
  device_lost: [
    'The GPU stopped working',
    'The browser took it away, often for want of memory. Try again to start it anew; if that does not help, restart the browser.',
  ],
  scheduler_lost: [
    'A part of the engine stopped',
    'The thread that plans the adapter’s ranks ended. Send your message again to start it anew.',
  ],
  context_overflow: ['This conversation has become too long', 'Start a new chat, or ask for a shorter answer.'],
  busy: ['Another tab is using this model', 'Wait until it has loaded there, then try again.'],
  queue_full: ['Too many requests are waiting', 'Wait for the running answer, then send again.'],
  bad_request: ['The model refused this request', 'Check the settings, then send again.'],
  aborted: ['Stopped', 'The request was stopped before it was done.'],
  abandoned: [
    'The answer was not read',
    'The page did not take it for a while, and it was given up. Send your message again.',
  ],
  disposed: [
    'The engine stopped',
    'Its thread was ended, often for want of memory. Reload the page to start it again.',
  ],
};

/** Where an adapter is at fault, and not the model. */
const ADAPTER_WORDS: Partial<typeof WORDS> = {
  network: ['The adapter could not be downloaded', 'Check the connection and its address, then choose it again.'],
  bad_file: [
    'This file is not an adapter that can be read',
    'It may be damaged, or of another model. Try another one.',
  ],
  unsupported: ['This kind of adapter is not supported', 'Plain LoRA of a model’s linear layers runs here.'],
  over_limit: ['This adapter is too large for this device', 'Unload another one first, or try one of lower rank.'],
  bad_request: ['The adapter was refused', 'See why below, then choose again.'],
};

/** Where the browser's storage is at fault, and not the device. */
const STORAGE_WORDS: Partial<typeof WORDS> = {
  over_limit: [
    'The browser has no room left',
    'Delete what is not needed of this site’s data, or free room on the disk, then try again.',
  ],
};

/** Clear words for any error, with its code where it has one. */
export function errorWords(error: unknown, about: 'model' | 'adapter' = 'model'): Words {
  if (error instanceof ChunkwiseError) {
    const ofStorage = error.detail.field === 'storage' && STORAGE_WORDS[error.code];
    const [title, advice] = ofStorage || (about === 'adapter' && ADAPTER_WORDS[error.code]) || WORDS[error.code];
    return { title, advice, detail: `${error.code} – ${error.message}` };
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { title: 'Something went wrong', advice: 'Reload the page and try again.', detail: message };
}
