// Runs llama.cpp in a child process (see llama.ts): requests come over IPC, large results go through a file.
import { writeFileSync } from 'node:fs';
import { getLlama } from 'node-llama-cpp';
import { serveCalls } from '../support/processes/serve-calls.mjs';

/** All filters off: the probabilities are the softmax of the logits. */
const UNFILTERED = { temperature: 1, topK: 0, topP: 1, minP: 0 };
const GREEDY = { temperature: 0 };

const gpu = process.env.LLAMA_GPU === 'vulkan' ? 'vulkan' : false;
// One thread: llama.cpp's threads spin while they wait, which on a busy machine is 40 times slower.
const llama = await getLlama({
  gpu,
  build: 'never',
  skipDownload: true,
  progressLogs: false,
  logLevel: 'error',
  maxThreads: 1,
});

const deviceName = async () => (gpu ? (await llama.getGpuDeviceNames()).join(', ') : 'CPU');

let loaded;

async function loadModel(modelPath, vocabOnly) {
  if (loaded?.modelPath === modelPath && loaded.vocabOnly === vocabOnly) return loaded.model;
  await loaded?.model.dispose();
  loaded = undefined;
  const model = await llama.loadModel({
    modelPath,
    vocabOnly,
    gpuLayers: gpu ? 'max' : 0,
    ignoreMemorySafetyChecks: true,
  });
  loaded = { modelPath, vocabOnly, model };
  return model;
}

/** Calls `use` with a fresh sequence. On the CPU the cache is f32: f16 alone would cost an NMSE of 1e-6. */
async function withSequence({ modelPath, contextTokens, lora }, use) {
  const model = await loadModel(modelPath, false);
  const kvType = gpu ? 'F16' : 'F32';
  const context = await model.createContext({
    contextSize: contextTokens,
    batchSize: Math.min(contextTokens, 512),
    flashAttention: false,
    experimentalKvCacheKeyType: kvType,
    experimentalKvCacheValueType: kvType,
    threads: 1,
    ignoreMemorySafetyChecks: true,
    lora: lora && { adapters: [{ filePath: lora.path, scale: lora.scale }] },
  });
  try {
    return await use(context.getSequence());
  } finally {
    await context.dispose();
  }
}

/** Calls `each(position, probabilities)` for every token; the probabilities of the next are a Map, not in id order. */
async function eachDistribution(request, each) {
  const { tokens } = request;
  await withSequence({ ...request, contextTokens: tokens.length + 1 }, (sequence) =>
    sequence.controlledEvaluate(
      tokens.map((token) => [token, { generateNext: { probabilities: true, options: UNFILTERED } }]),
      {
        onTokenResult(position, result) {
          each(position, result.next.probabilities);
          delete result.next.probabilities;
        },
      },
    ),
  );
}

const operations = {
  async tokenize({ modelPath, texts, parseSpecial }) {
    const model = await loadModel(modelPath, true);
    return texts.map((text) => model.tokenize(text, parseSpecial));
  },

  async detokenize({ modelPath, lists }) {
    const model = await loadModel(modelPath, true);
    return lists.map((ids) => model.detokenize(ids));
  },

  async endTokens({ modelPath }) {
    const model = await loadModel(modelPath, true);
    return [...model.iterateAllTokens()].filter((id) => model.isEogToken(id));
  },

  async probabilities({ outPath, ...request }) {
    let all;
    await eachDistribution(request, (position, probabilities) => {
      all ??= new Float32Array(request.tokens.length * probabilities.size);
      for (const [id, p] of probabilities) all[position * probabilities.size + id] = p;
    });
    writeFileSync(outPath, all);
    return all.length / request.tokens.length;
  },

  async negativeLogLikelihoods(request) {
    const { tokens } = request;
    const nlls = [];
    await eachDistribution(request, (position, probabilities) => {
      if (position + 1 === tokens.length) return;
      let sum = 0;
      for (const p of probabilities.values()) sum += p;
      nlls[position] = -Math.log(probabilities.get(tokens[position + 1]) / sum);
    });
    return nlls;
  },

  async generateGreedy({ modelPath, tokens, maxTokens }) {
    return withSequence({ modelPath, contextTokens: tokens.length + maxTokens }, async (sequence) => {
      const generated = [];
      for await (const token of sequence.evaluate(tokens, GREEDY)) {
        generated.push(token);
        if (generated.length === maxTokens) break;
      }
      return generated;
    });
  },

  async embed({ modelPath, lists }) {
    const model = await loadModel(modelPath, false);
    const contextSize = Math.max(...lists.map((ids) => ids.length)) + 1;
    const context = await model.createEmbeddingContext({
      contextSize,
      batchSize: contextSize,
      threads: 1,
      ignoreMemorySafetyChecks: true,
    });
    try {
      const vectors = [];
      for (const ids of lists) vectors.push([...(await context.getEmbeddingFor(ids)).vector]);
      return vectors;
    } finally {
      await context.dispose();
    }
  },

  async load({ modelPath }) {
    const start = performance.now();
    await loadModel(modelPath, false);
    return { ms: performance.now() - start, device: await deviceName() };
  },

  async decodeSpeed({ modelPath, contextTokens, steps, lora }) {
    const tokens = Array.from({ length: contextTokens }, (_, i) => 100 + ((i * 37) % 1000));
    const { promptMs, stepMs } = await operations.answer({ modelPath, tokens, count: steps + 1, lora });
    return { prefillMs: promptMs, msPerToken: stepMs, device: await deviceName() };
  },

  async answer({ modelPath, tokens, count, lora }) {
    return withSequence({ modelPath, contextTokens: tokens.length + count, lora }, async (sequence) => {
      const next = { generateNext: { token: true, options: GREEDY } };
      const step = async (input) => {
        const [start, cpu] = [performance.now(), process.cpuUsage()];
        const output = await sequence.controlledEvaluate(input);
        const { user, system } = process.cpuUsage(cpu);
        return { ms: performance.now() - start, cpuMs: (user + system) / 1000, token: output.at(-1).next.token };
      };
      const prompt = await step([...tokens.slice(0, -1), [tokens.at(-1), next]]);
      const steps = [];
      while (steps.length < count - 1) steps.push(await step([[(steps.at(-1) ?? prompt).token, next]]));
      return {
        promptMs: prompt.ms,
        promptCpuMs: prompt.cpuMs,
        stepMs: steps.map(({ ms }) => ms),
        stepsCpuMs: steps.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
        tokens: [prompt, ...steps].map(({ token }) => token),
      };
    });
  },
};

serveCalls(operations);
