// Q6_K: eight blocks share an f32 d and sixteen 8-bit scales, one for each half block. Of four such runs the ds are before the
// four words of each one's scales.
// needs: unpack-bytes
const MINIMA = 0u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let four = i / 32u * 20u;
  let quad = vec4f(unpack_bytes(weight_scales[four + 4u + i % 32u / 2u]));
  let pair = select(quad.xy, quad.zw, (i & 1u) == 1u) * bitcast<f32>(weight_scales[four + i % 32u / 8u]);
  return vec4f(pair, 0.0, 0.0);
}
