import { embeddingsOf, finalStates, throughLayers } from './forward.ts';
import type { ReferenceModel } from './model.ts';
import { matmul, norm, type Rows } from './operations.ts';

/**
 * Logits of a model's draft head: tokens `[T]` → `[T, vocabSize]`. Its input is a token's embedding and the model's final
 * hidden state of the token before, each normed separately (DeepSeek-V3, arXiv 2412.19437, section 2.2; llama.cpp,
 * src/models/qwen35.cpp). The first token's hidden state is zero.
 */
export function draftLogits(model: ReferenceModel, head: ReferenceModel, tokens: readonly number[]): Rows {
  const { hiddenSize, rmsNormEps } = head.config;
  const tensor = (name: string): Float32Array => head.tensors.get(name) ?? new Float32Array();
  const known = [new Float64Array(hiddenSize), ...finalStates(model, tokens.slice(0, -1))];
  const embeddings = norm(embeddingsOf(model, tokens), tensor('blk.0.nextn.enorm.weight'), rmsNormEps);
  const states = norm(known, tensor('blk.0.nextn.hnorm.weight'), rmsNormEps);
  const joined = embeddings.map((row, t) => Float64Array.from([...row, ...states[t]!]));
  const ownNorm = head.tensors.get('blk.0.nextn.shared_head_norm.weight');
  const whole = ownNorm ? { ...head, tensors: new Map([...head.tensors, ['output_norm.weight', ownNorm]]) } : head;
  const output =
    model.tensors.get(model.config.tiedEmbeddings ? 'token_embd.weight' : 'output.weight') ?? new Float32Array();
  return matmul(throughLayers(whole, tokens, matmul(joined, tensor('blk.0.nextn.eh_proj.weight'))), output);
}
