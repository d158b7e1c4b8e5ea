import type { ErrorCode } from '../../src/api/index.ts';
import { ChunkwiseError } from '../../src/api/index.ts';

interface Words {
  title: string;
  /** Advice for the user. */
  advice: string;
  /** Exact message. */
  detail: string;
}

const WORDS: Record<ErrorCode, [title: string, advice: string]> = {
  no_webgpu: [
    'The browser finds no GPU here',
    'The model runs on the GPU, through WebGPU. Switch on hardware acceleration in the browser’s settings and update the graphics driver, then restart the browser; or use another browser or device.',
  ],
  kernel_refused: [
    'This browser cannot compile the model’s GPU programs',
    'Update it and the graphics driver, or use a current Chrome, Edge, Firefox or Safari.',
  ],
  wrong_results: ['This GPU computes wrong answers', 'Update its driver and the browser, or use another device.'],
  network: ['The model could not be downloaded', 'Check the connection and the model’s address, then try again.'],
  storage_lost: [
    'The stored model was deleted',
    'The site’s data were cleared, or another tab deleted the model. Try again to download it.',
  ],
  bad_file: ['This file is not a model that can be read', 'It may be damaged. Try another GGUF file.'],
  unsupported: [
    'This kind of model is not supported',
    'Llama, Qwen2, Qwen3, SmolLM3, Gemma 3, Gemma 4 E2B and E4B, Phi-3, Ministral 3 and Granite models run here. Try another model.',
  ],
  over_limit: ['This model is too large for this device', 'Try a smaller model, or one with fewer bits per weight.'],
  device_lost: [
    'The GPU stopped working',
    'The browser stopped it, often because memory ran out. Try again; if that does not help, restart the browser.',
  ],
  scheduler_lost: [
    'A part of the engine stopped',
    'The thread that plans the adapter’s ranks ended. Send your message again to restart it.',
  ],
  context_overflow: ['This conversation has become too long', 'Start a new chat, or ask for a shorter answer.'],
  busy: ['Another tab is using this model', 'Wait until it has loaded there, then try again.'],
  queue_full: ['Too many requests are waiting', 'Wait for the running answer, then send again.'],
  bad_request: ['The model refused this request', 'Check the settings, then send again.'],
  aborted: ['Stopped', 'The request was stopped before it was done.'],
  abandoned: [
    'The answer was not read',
    'The page did not read it for a while, so the engine stopped it. Send your message again.',
  ],
  disposed: [
    'The engine stopped',
    'Its thread ended, often because memory ran out. Reload the page to start it again.',
  ],
};

/** Errors of adapters instead of models. */
const ADAPTER_WORDS: Partial<typeof WORDS> = {
  network: ['The adapter could not be downloaded', 'Check the connection and its address, then choose it again.'],
  bad_file: [
    'This file is not an adapter that can be read',
    'It may be damaged, or belong to another model. Try another one.',
  ],
  unsupported: ['This kind of adapter is not supported', 'Plain LoRA of a model’s linear layers runs here.'],
  over_limit: ['This adapter is too large for this device', 'Unload another one first, or try one of lower rank.'],
  bad_request: ['The adapter was refused', 'See why below, then choose again.'],
};

/** Fields whose errors are about the file format, not the model. */
const OF_FILES = /^(is a pickle|tensor type|dtype|quantized safetensors)|GGUF version|big-endian/;

/** More precise words for errors while a model opens. The first match counts. */
const OPENING_WORDS: { fits: (error: ChunkwiseError) => boolean; words: [title: string, advice: string] }[] = [
  {
    fits: ({ code }) => code === 'no_webgpu' && !isSecureContext,
    words: [
      'WebGPU is missing because this page is not secure',
      'Models run on the GPU, through WebGPU, which browsers allow only on pages opened by https or on localhost. Open this page by https.',
    ],
  },
  {
    fits: ({ code }) => code === 'no_webgpu' && !('gpu' in navigator),
    words: [
      'This browser has no WebGPU',
      'Models run on the GPU, through WebGPU, which is missing here or switched off. Open this page in a current Chrome, Edge, Firefox or Safari.',
    ],
  },
  {
    fits: ({ code, detail }) => code === 'network' && /^status (404|410)\b/.test(detail.reason),
    words: ['The model was not found', 'Nothing is at its address. Check the spelling, or choose another model.'],
  },
  {
    fits: ({ code, detail }) => code === 'network' && /^status (401|403)\b/.test(detail.reason),
    words: [
      'The model was not found, or is not public',
      'Its server requires permission. Check the address, or choose another model.',
    ],
  },
  {
    fits: ({ code, detail }) => code === 'bad_request' && detail.file !== undefined,
    words: [
      'The model was not found',
      'The repository has no such file, or no model. Check the spelling, or choose another model.',
    ],
  },
  {
    fits: ({ code }) => code === 'bad_request',
    words: [
      'This is not the address of a model',
      'Enter the address of a GGUF file, or owner/repository:file on the Hugging Face hub.',
    ],
  },
  {
    fits: ({ code, detail }) => code === 'bad_file' && detail.field === 'magic',
    words: [
      'This file is not a model',
      'It is not a GGUF file; it may be a web page about one. Choose the GGUF file itself.',
    ],
  },
  {
    fits: ({ code, detail }) => code === 'unsupported' && OF_FILES.test(detail.reason),
    words: [
      'This type of file is not supported',
      'Another file of the same model may run, such as a GGUF file with Q4_K_M or Q8_0 in its name.',
    ],
  },
];

/** Errors of the browser's storage instead of the device. */
const STORAGE_WORDS: Partial<typeof WORDS> = {
  over_limit: [
    'The browser has no room left',
    'Delete unneeded data of this site, or free disk space, then try again.',
  ],
};

/** Plain words for any error. `opening`: a model is being opened. */
export function errorWords(error: unknown, about: 'model' | 'opening' | 'adapter' = 'model'): Words {
  if (error instanceof ChunkwiseError) {
    const [title, advice] =
      (error.detail.field === 'storage' && STORAGE_WORDS[error.code]) ||
      (about === 'adapter' && ADAPTER_WORDS[error.code]) ||
      (about === 'opening' && OPENING_WORDS.find(({ fits }) => fits(error))?.words) ||
      WORDS[error.code];
    return { title, advice, detail: `${error.code} – ${error.message}` };
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { title: 'Something went wrong', advice: 'Reload the page and try again.', detail: message };
}
