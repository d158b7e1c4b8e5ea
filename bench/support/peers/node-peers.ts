import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { detokenize, type LlamaLora } from '../../../tests/llama/llama.ts';
import { type LlamaGpu, startLlama } from '../../../tests/llama/llama-process.ts';
import { CalledProcess } from '../../../tests/support/processes/called-process.ts';
import { demoAdapter, MODEL } from '../engine.ts';
import type { Answer, OpenPeer, Peer } from './peer.ts';

const ADAPTER = 'wikitext';
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** Node's loaders for TypeScript and shaders. */
const LOADERS = ['--import', 'tsx', '--import', `${ROOT}tools/wgsl-loader.mjs`];

interface Loaded {
  ms: number;
  device: string;
}

export function chunkwiseInNode(contextLength: number, adapted: boolean): Peer {
  return {
    ...{ name: 'Chunkwise', host: 'Node', type: 'Q4_1', adapted },
    async open() {
      const script = fileURLToPath(new URL('./chunkwise-child.ts', import.meta.url));
      const child = new CalledProcess({ name: 'Chunkwise', script, env: process.env, execArgv: LOADERS });
      const { ms, device } = await child.call<Loaded>('load', {
        contextLength,
        ...(adapted && { adapter: demoAdapter(ADAPTER) }),
      });
      return openOf(child, { device, loadMs: ms }, async ({ text, tokens, count }) => {
        const answer = await child.call<Answer & { promptTokens: number }>('answer', { text, count });
        if (answer.promptTokens !== tokens.length)
          throw new Error(`Chunkwise reads ${tokens.length} tokens as ${answer.promptTokens}`);
        return answer;
      });
    },
  };
}

interface LlamaAnswer {
  promptMs: number;
  promptCpuMs: number;
  stepMs: number[];
  stepsCpuMs: number;
  tokens: number[];
}

/** `lora`: the adapter in its GGUF form. */
export function llamaInNode(gpu: LlamaGpu, lora?: LlamaLora): Peer {
  return {
    ...{ name: `llama.cpp, ${gpu ? 'Vulkan' : 'CPU'}`, host: 'Node', type: 'Q4_1', adapted: lora !== undefined },
    async open() {
      const child = await startLlama(gpu);
      const { ms, device } = await child.call<Loaded>('load', { modelPath: `${ROOT}${MODEL}` });
      return openOf(child, { device, loadMs: ms }, async ({ tokens, count }) => {
        const { promptMs, stepMs, ...answer } = await child.call<LlamaAnswer>('answer', {
          modelPath: `${ROOT}${MODEL}`,
          tokens,
          count,
          lora,
        });
        const [text = ''] = await detokenize(MODEL, [answer.tokens]);
        return { text, promptMs, stepMs, cpu: { promptMs: answer.promptCpuMs, stepsMs: answer.stepsCpuMs } };
      });
    },
  };
}

const openOf = (
  child: CalledProcess,
  about: Pick<OpenPeer, 'device' | 'loadMs'>,
  answer: OpenPeer['answer'],
): OpenPeer => ({
  ...about,
  answer,
  peakBytes: async () => {
    const [, kilobytes] = /^VmHWM:\s*(\d+) kB/m.exec(await readFile(`/proc/${child.pid}/status`, 'utf8')) ?? [];
    return 1024 * Number(kilobytes);
  },
  close: () => child.end(),
});
