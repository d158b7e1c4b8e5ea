import { readAdapter } from '../../../src/adapters/adapter-file.ts';
import { openGguf } from '../../../src/weights/gguf/gguf-split.ts';
import { rowOrder } from '../../../src/weights/interleaved-rows.ts';
import { readModelConfig } from '../../../src/weights/model-config.ts';
import { peftSource, type TinyAdapter } from '../models/tiny-adapter.ts';
import { BytesSource } from '../bytes-source.ts';

/** An F32 model with `scale · B · A` of each adapter added to its weights, in f64. */
export async function merged(model: Uint8Array, adapters: readonly [TinyAdapter, number][]): Promise<Uint8Array> {
  const bytes = model.slice();
  const gguf = await openGguf([new BytesSource('tiny.gguf', bytes)]);
  const config = readModelConfig(gguf);
  for (const [adapter, factor] of adapters) {
    const { modules } = await readAdapter(peftSource(adapter), { config });
    for (const { name, linear, rank, inFeatures, outFeatures, scale, a, b } of modules) {
      const tensor = gguf.tensors.find((found) => found.name === `${name}.weight`);
      if (!tensor) throw new Error(`no ${name}`);
      const isPermuted = config.ropeLayout === 'interleaved' && (linear === 'attn_q' || linear === 'attn_k');
      const order = linear === 'attn_q' || linear === 'attn_k' ? rowOrder(config, linear) : undefined;
      const fileRow = (row: number): number =>
        isPermuted
          ? interleaved(row, config.headDim)
          : order
            ? row - (row % order.length) + order[row % order.length]!
            : row;
      const weights = new DataView(bytes.buffer, tensor.offset, tensor.bytes);
      for (let row = 0; row < outFeatures; row++) {
        for (let column = 0; column < inFeatures; column++) {
          let sum = 0;
          for (let k = 0; k < rank; k++) sum += b[row * rank + k]! * a[k * inFeatures + column]!;
          const at = 4 * (fileRow(row) * inFeatures + column);
          weights.setFloat32(at, weights.getFloat32(at, true) + scale * factor * sum, true);
        }
      }
    }
  }
  return bytes;
}

/** Index of a q or k row in GGUF files of the Llama family, which interleave the two halves of a head. */
function interleaved(row: number, headDim: number): number {
  const inHead = row % headDim;
  const half = headDim / 2;
  return row - inHead + 2 * (inHead % half) + Math.floor(inHead / half);
}
