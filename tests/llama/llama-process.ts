import { fileURLToPath } from 'node:url';
import { lavapipeIcd } from '../../tools/setup/system.ts';
import { CalledProcess } from '../support/processes/called-process.ts';
import { ensureLlama } from './install.ts';

export type LlamaGpu = 'vulkan' | false;

/** Vulkan on lavapipe. Without the device index, llama.cpp skips a software adapter and uses the CPU. */
const vulkanEnv = () => ({ VK_ICD_FILENAMES: lavapipeIcd(), GGML_VK_VISIBLE_DEVICES: '0', LLAMA_GPU: 'vulkan' });

/** llama.cpp in a child process that runs operations of llama-child.mjs. Installs it if it is missing. */
export async function startLlama(gpu: LlamaGpu): Promise<CalledProcess> {
  await ensureLlama();
  const script = fileURLToPath(new URL('./llama-child.mjs', import.meta.url));
  return new CalledProcess({
    name: 'llama.cpp',
    script,
    env: { ...process.env, ...(gpu === 'vulkan' ? vulkanEnv() : {}) },
  });
}

const processes = new Map<LlamaGpu, Promise<CalledProcess>>();

/** Runs one operation of llama-child.mjs; installs llama.cpp and starts its process if needed. */
export async function callLlama<T>(operation: string, request: object, gpu: LlamaGpu = false): Promise<T> {
  let starting = processes.get(gpu);
  if (starting === undefined) {
    starting = startLlama(gpu);
    processes.set(gpu, starting);
    void starting.then(({ ended }) => ended).finally(() => processes.delete(gpu));
  }
  return (await starting).call<T>(operation, request);
}
