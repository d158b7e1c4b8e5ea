// Q6_K: eight blocks share an f32 d (word 0) and sixteen 8-bit scales (words 1 to 4), one for each half block.
// needs: unpack-bytes
const MINIMA = 0u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let base = (i / 8u) * 5u;
  let j = i & 7u;
  let quad = vec4f(unpack_bytes(weight_scales[base + 1u + j / 2u]));
  let pair = select(quad.xy, quad.zw, (j & 1u) == 1u) * bitcast<f32>(weight_scales[base]);
  return vec4f(pair, 0.0, 0.0);
}
