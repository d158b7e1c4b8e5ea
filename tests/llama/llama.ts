/**
 * llama.cpp, through node-llama-cpp in a child process: the independent implementation that ours is compared with. It runs
 * on the CPU with an f32 KV cache and without flash attention unless stated otherwise. Paths name GGUF files. Tokens are
 * used as given; llama.cpp adds no BOS.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { callLlama } from './llama-process.ts';
import type { LlamaGpu } from './llama-process.ts';

export { ensureLlama } from './install.ts';

export interface LlamaLora {
  /** GGUF adapter. */
  path: string;
  /** Default 1. */
  scale?: number;
}

/** Token ids of each text, without BOS and EOS; `parseSpecial` reads control tokens. The file may hold no tensors. */
export function tokenize(modelPath: string, texts: readonly string[], parseSpecial = false): Promise<number[][]> {
  return callLlama('tokenize', { modelPath: resolve(modelPath), texts, parseSpecial });
}

/** The text of each list of ids, without control tokens. */
export function detokenize(modelPath: string, lists: readonly (readonly number[])[]): Promise<string[]> {
  return callLlama('detokenize', { modelPath: resolve(modelPath), lists });
}

/** Ids of the tokens that end generation. */
export function endTokens(modelPath: string): Promise<number[]> {
  return callLlama('endTokens', { modelPath: resolve(modelPath) });
}

/**
 * For every position, the log-probabilities `[vocabSize]` of the token after it, in id order, minus their mean: equal
 * to the centred logits. A probability that underflows f32 counts as the smallest positive f32.
 */
export async function centredLogProbs(
  modelPath: string,
  tokens: readonly number[],
  lora?: LlamaLora,
): Promise<Float32Array[]> {
  const folder = mkdtempSync(join(tmpdir(), 'llama-'));
  try {
    const outPath = join(folder, 'probabilities');
    const request = {
      modelPath: resolve(modelPath),
      tokens,
      lora: lora && { ...lora, path: resolve(lora.path) },
      outPath,
    };
    const vocabSize = await callLlama<number>('probabilities', request);
    const bytes = readFileSync(outPath);
    const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    return tokens.map((_, position) => centredLogs(all.subarray(position * vocabSize, (position + 1) * vocabSize)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const LEAST = 2 ** -149;

function centredLogs(probabilities: Float32Array): Float32Array {
  const logs = Float64Array.from(probabilities, (p) => Math.log(Math.max(p, LEAST)));
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  return Float32Array.from(logs, (log) => log - mean);
}

/** Negative log-likelihood (nats) of every token after the first, and exp of their mean. */
export async function perplexity(
  modelPath: string,
  tokens: readonly number[],
  lora?: LlamaLora,
): Promise<{ perplexity: number; nlls: number[] }> {
  const request = { modelPath: resolve(modelPath), tokens, lora: lora && { ...lora, path: resolve(lora.path) } };
  const nlls = await callLlama<number[]>('negativeLogLikelihoods', request);
  return { perplexity: Math.exp(nlls.reduce((sum, nll) => sum + nll, 0) / nlls.length), nlls };
}

/** At most `maxTokens` greedy tokens after `tokens`, up to but without a token that ends generation. */
export function generateGreedy(modelPath: string, tokens: readonly number[], maxTokens: number): Promise<number[]> {
  return callLlama('generateGreedy', { modelPath: resolve(modelPath), tokens, maxTokens });
}

/** An encoder's pooled vector for each list of ids, not normalized. */
export function embed(modelPath: string, lists: readonly (readonly number[])[]): Promise<number[][]> {
  return callLlama('embed', { modelPath: resolve(modelPath), lists });
}

export interface DecodeSpeed {
  prefillMs: number;
  /** One entry per step, sampling included. */
  msPerToken: number[];
  device: string;
}

/** Prefills `contextTokens` arbitrary tokens, then decodes greedily; f16 KV cache on Vulkan, one thread on the CPU. */
export function decodeSpeed(
  modelPath: string,
  { gpu, contextTokens, steps, lora }: { gpu: LlamaGpu; contextTokens: number; steps: number; lora?: LlamaLora },
): Promise<DecodeSpeed> {
  const request = {
    modelPath: resolve(modelPath),
    contextTokens,
    steps,
    lora: lora && { ...lora, path: resolve(lora.path) },
  };
  return callLlama('decodeSpeed', request, gpu);
}
