import { ChunkwiseError } from './chunkwise-error.ts';

const CONVERSIONS = {
  adapter: 'PeftModel.from_pretrained(base, folder).save_pretrained(folder)',
  model: 'AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)',
} as const;

/** Whether a name or an address ends as torch.save's files do. */
export const isPickleName = (name: string): boolean => /\.(bin|pt|pth|ckpt)(?=$|[?#])/i.test(name);

export type PickledKind = keyof typeof CONVERSIONS;

/** `adapter_model.bin`, `pytorch_model.bin` and their like: why they are not read, and what to do. */
export function pickleError(file: string, kind: PickledKind, cause?: unknown): ChunkwiseError {
  const reason = `is a pickle, which runs the code that it holds when it is read; make safetensors of it in Python: ${CONVERSIONS[kind]}`;
  return new ChunkwiseError('unsupported', { file, reason }, { cause });
}
