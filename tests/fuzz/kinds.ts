import type { FuzzKind } from './kind.ts';

/** By name, each with what it needs; the last one fails in every way, and shows that the others would be seen to. */
export const KINDS: Readonly<Record<string, () => Promise<FuzzKind>>> = {
  ggufModels: async () => (await import('./gguf-models.ts')).ggufModels,
  safetensorsModels: async () => (await import('./safetensors-models.ts')).safetensorsModels,
  adapters: async () => (await import('./adapters.ts')).adapters,
  schemas: async () => (await import('./grammars.ts')).schemas,
  grammars: async () => (await import('./grammars.ts')).grammars,
  templates: async () => (await import('./templates.ts')).templates,
  requests: async () => (await import('./requests.ts')).requests,
  selfCheck: async () => (await import('./self-check.ts')).selfCheck,
};
