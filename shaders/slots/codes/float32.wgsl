// needs: block
const CODE_STEP = vec4f(1.0);

fn codes(row: u32, block: u32) -> Block {
  let i = (row * BLOCKS + block) * 8u;
  return Block(
    bitcast<vec4f>(weight[i]), bitcast<vec4f>(weight[i + 1u]), bitcast<vec4f>(weight[i + 2u]),
    bitcast<vec4f>(weight[i + 3u]), bitcast<vec4f>(weight[i + 4u]), bitcast<vec4f>(weight[i + 5u]),
    bitcast<vec4f>(weight[i + 6u]), bitcast<vec4f>(weight[i + 7u]));
}
