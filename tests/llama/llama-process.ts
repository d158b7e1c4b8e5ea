import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ensureLlama } from './install.ts';

export type LlamaGpu = 'vulkan' | false;

interface Reply {
  id: number;
  result?: unknown;
  error?: string;
}

/** Vulkan on lavapipe; without the device index llama.cpp passes a software adapter over and takes the CPU. */
const VULKAN_ENV = { VK_ICD_FILENAMES: '/usr/share/vulkan/icd.d/lvp_icd.json', GGML_VK_VISIBLE_DEVICES: '0' };

/** A child process that runs llama.cpp, so that a crash of it is an error here; it ends with this process. */
class LlamaProcess {
  private readonly child: ChildProcess;
  private readonly pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private readonly ready: Promise<void>;
  private nextId = 0;
  private stderr = '';

  constructor(gpu: LlamaGpu) {
    const env = { ...process.env, ...(gpu === 'vulkan' ? { ...VULKAN_ENV, LLAMA_GPU: 'vulkan' } : {}) };
    const script = fileURLToPath(new URL('./llama-child.mjs', import.meta.url));
    this.child = fork(script, { env, execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.child.stderr?.on('data', (text: Buffer) => (this.stderr = (this.stderr + text.toString()).slice(-4000)));
    this.ready = new Promise((resolve, reject) => {
      this.child.once('message', () => resolve());
      this.child.once('exit', (code, signal) => {
        const error = new Error(`llama.cpp's process ended (${signal ?? `code ${code}`})\n${this.stderr}`);
        reject(error);
        for (const { reject } of this.pending.values()) reject(error);
        this.pending.clear();
        if (processes.get(gpu) === this) processes.delete(gpu);
      });
    });
    this.child.on('message', (message: Reply | 'ready') => {
      if (message === 'ready') return;
      const request = this.pending.get(message.id);
      this.pending.delete(message.id);
      if (this.pending.size === 0) this.keepAlive(false);
      if (message.error === undefined) request?.resolve(message.result);
      else request?.reject(new Error(`llama.cpp: ${message.error}`));
    });
  }

  async call(operation: string, request: object): Promise<unknown> {
    this.keepAlive(true);
    await this.ready;
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.child.send({ id, operation, request });
    });
  }

  /** An idle child does not keep this process from ending. */
  private keepAlive(on: boolean): void {
    const stderr = this.child.stderr as (NodeJS.ReadableStream & { ref?(): void; unref?(): void }) | null;
    for (const handle of [this.child, this.child.channel, stderr]) {
      if (on) handle?.ref?.();
      else handle?.unref?.();
    }
  }
}

const processes = new Map<LlamaGpu, LlamaProcess>();

/** Runs one operation of llama-child.mjs; installs llama.cpp and starts its process where needed. */
export async function callLlama<T>(operation: string, request: object, gpu: LlamaGpu = false): Promise<T> {
  await ensureLlama();
  let llama = processes.get(gpu);
  if (llama === undefined) {
    llama = new LlamaProcess(gpu);
    processes.set(gpu, llama);
  }
  return (await llama.call(operation, request)) as T;
}
