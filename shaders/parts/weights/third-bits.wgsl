// Bit e of a block's word in `weight_high` is the third bit of element e; 4 is subtracted. As pairs.wgsl has them, of four
// elements.
fn third_bits(word: u32) -> vec4f {
  let bits = (vec4u(word) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u);
  return (vec4f(vec4i(bits)) - 1.0) * vec4f(4.0, 16.0, 64.0, 256.0);
}
