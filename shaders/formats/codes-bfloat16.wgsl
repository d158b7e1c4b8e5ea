const CODE_STEP = vec4f(1.0);

fn bfloat4(packed: vec2u) -> vec4f {
  let low = packed << vec2u(16u);
  let high = packed & vec2u(0xffff0000u);
  return bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y));
}

fn codes(row: u32, block: u32) -> Block {
  let i = (row * BLOCKS + block) * 4u;
  let p = weight[i];
  let q = weight[i + 1u];
  let r = weight[i + 2u];
  let s = weight[i + 3u];
  return Block(
    bfloat4(p.xy), bfloat4(p.zw), bfloat4(q.xy), bfloat4(q.zw),
    bfloat4(r.xy), bfloat4(r.zw), bfloat4(s.xy), bfloat4(s.zw));
}
