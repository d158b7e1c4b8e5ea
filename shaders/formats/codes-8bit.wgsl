const CODE_STEP = vec4f(1.0);

fn codes(row: u32, block: u32) -> Block {
  let i = (row * BLOCKS + block) * 2u;
  let p = weight[i];
  let q = weight[i + 1u];
  return Block(
    vec4f(unpack4xI8(p.x)), vec4f(unpack4xI8(p.y)), vec4f(unpack4xI8(p.z)), vec4f(unpack4xI8(p.w)),
    vec4f(unpack4xI8(q.x)), vec4f(unpack4xI8(q.y)), vec4f(unpack4xI8(q.z)), vec4f(unpack4xI8(q.w)));
}
