// The weights themselves, of 32 columns of one row.
// needs: block, codes, scales
fn weight_block(row: u32, block: u32) -> Block {
  let w = codes(row, block);
  let scale = scales(row, block);
  let low = scale.x * CODE_STEP;
  let high = scale.y * CODE_STEP;
  let offset = vec4f(scale.z);
  return Block(
    w.a * low + offset, w.b * low + offset, w.c * low + offset, w.d * low + offset,
    w.e * high + offset, w.f * high + offset, w.g * high + offset, w.h * high + offset);
}
