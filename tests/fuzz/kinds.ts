import type { FuzzKind } from './kind.ts';

/** Kinds by name, loaded on demand. The last one fails in every way, to show that failures are detected. */
export const KINDS: Readonly<Record<string, () => Promise<FuzzKind>>> = {
  ggufModels: async () => (await import('./gguf-models.ts')).ggufModels,
  safetensorsModels: async () => (await import('./safetensors-models.ts')).safetensorsModels,
  adapters: async () => (await import('./adapters.ts')).adapters,
  schemas: async () => (await import('./grammars.ts')).schemas,
  grammars: async () => (await import('./grammars.ts')).grammars,
  templates: async () => (await import('./templates.ts')).templates,
  functions: async () => (await import('./functions.ts')).functions,
  requests: async () => (await import('./requests.ts')).requests,
  selfCheck: async () => (await import('./self-check.ts')).selfCheck,
};
