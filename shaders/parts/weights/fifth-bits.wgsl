// Bit e of a block's word in `weight_high` is the fifth bit of element e. As nibbles.wgsl has them, of four elements.
fn fifth_bits(word: u32) -> vec4f {
  return vec4f(vec4i((vec4u(word) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u))) * vec4f(16.0, 256.0, 4096.0, 65536.0);
}
