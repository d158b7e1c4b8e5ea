import { linearsOfGroup, type LinearGroup } from '../architectures/linears.ts';
import { outputNormOf } from '../architectures/architecture.ts';
import { architectureOf } from '../architectures/index.ts';
import type { BidirectionalConfig } from '../config/encoder-config.ts';
import { windowOfLayer } from '../config/model-config.ts';
import type { WeightMatrix } from '../layers/weight-matrix.ts';
import { DENSE } from '../weights/encoder-config.ts';
import type { BidirectionalWeights } from './bidirectional-encoder.ts';
import { ropeTable, windowTable } from './rope-table.ts';
import type { TensorLoader } from './tensor-loader.ts';

/** The weights of an encoder of a decoder's layers, for texts of up to `contextLength` tokens. Errors: those of `TensorLoader`. */
export async function readBidirectional(
  tensors: TensorLoader,
  { decoder, denseWidth }: BidirectionalConfig,
  contextLength: number,
): Promise<BidirectionalWeights> {
  const upload = (table: Float32Array): GPUBuffer =>
    tensors.buffer('rope', new Uint8Array(table.buffer), 'activations');
  const embeddings = await tensors.matrix('token_embd.weight');
  const rope = upload(ropeTable(decoder, contextLength));
  const windowed = decoder.window && windowTable(decoder, decoder.window, contextLength);
  const windowRope = windowed ? upload(windowed) : rope;
  const layers = [];
  for (let i = 0; i < decoder.numLayers; i++) {
    const name = (part: string): string => `blk.${i}.${part}.weight`;
    const linears = (group: LinearGroup): Promise<WeightMatrix[]> =>
      tensors.matrices(
        name(group),
        linearsOfGroup(group).map((linear) => ({ tensor: tensors.tensor(name(linear)) })),
      );
    const vector = (part: string): Promise<GPUBuffer> => tensors.vector(name(part));
    layers.push({
      ...{
        attentionNorm: await vector('attn_norm'),
        qkv: await linears('qkv'),
        headNorms: await readHeadNorms(tensors, name),
      },
      ...{
        rope: windowOfLayer(decoder, i) === undefined ? rope : windowRope,
        attentionOutput: await linears('output'),
        attentionOutputNorm: await vector('post_attention_norm'),
      },
      ...{
        mlpNorm: await vector('ffn_norm'),
        gateUp: await linears('gateUp'),
        down: await linears('down'),
        mlpOutputNorm: await vector('post_ffw_norm'),
      },
    });
  }
  const outputNorm = await tensors.vector(outputNormOf(architectureOf(decoder)));
  const dense = [];
  if (denseWidth !== undefined) for (const name of DENSE) dense.push(await tensors.matrix(name));
  return { embeddings, layers, outputNorm, dense };
}

async function readHeadNorms(tensors: TensorLoader, name: (part: string) => string): Promise<GPUBuffer> {
  const parts = [await tensors.read(name('attn_q_norm')), await tensors.read(name('attn_k_norm'))];
  return tensors.buffer(name('attn_qk_norm'), new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()));
}
