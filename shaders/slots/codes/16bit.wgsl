// needs: block, half4
const CODE_STEP = vec4f(1.0);

fn codes(row: u32, block: u32) -> Block {
  let i = (row * BLOCKS + block) * 4u;
  let p = weight[i];
  let q = weight[i + 1u];
  let r = weight[i + 2u];
  let s = weight[i + 3u];
  return Block(
    half4(p.xy), half4(p.zw), half4(q.xy), half4(q.zw), half4(r.xy), half4(r.zw), half4(s.xy), half4(s.zw));
}
