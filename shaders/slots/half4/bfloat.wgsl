// bfloat16 in place of f16: the upper half of an f32.
fn half4(packed: vec2u) -> vec4f {
  let low = packed << vec2u(16u);
  let high = packed & vec2u(0xffff0000u);
  return bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y));
}
