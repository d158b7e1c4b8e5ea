import { ChunkwiseError } from './chunkwise-error.ts';

const CONVERSIONS = {
  adapter: 'PeftModel.from_pretrained(base, folder).save_pretrained(folder)',
  model: 'AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)',
} as const;

/** Whether a file name or URL has an extension of torch.save's files. */
export const isPickleName = (name: string): boolean => /\.(bin|pt|pth|ckpt)(?=$|[?#])/i.test(name);

export type PickledKind = keyof typeof CONVERSIONS;

/** Error for a pickle (`adapter_model.bin`, `pytorch_model.bin`): why it is not read, and how to convert it. */
export function pickleError(file: string, kind: PickledKind, cause?: unknown): ChunkwiseError {
  const reason = `is a pickle, and reading a pickle runs the code in it; convert it to safetensors in Python: ${CONVERSIONS[kind]}`;
  return new ChunkwiseError('unsupported', { file, reason }, { cause });
}
