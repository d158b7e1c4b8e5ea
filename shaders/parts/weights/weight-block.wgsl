// The weights themselves, of 32 columns of one row.
// needs: block, codes, scales
fn weight_block(row: u32, block: u32) -> Block {
  let w = codes(row, block);
  let scale = scales(row, block);
  let low = scale.x * CODE_STEP;
  let high = scale.y * CODE_STEP;
  return Block(
    w.a * low + scale.z, w.b * low + scale.z, w.c * low + scale.z, w.d * low + scale.z,
    w.e * high + scale.w, w.f * high + scale.w, w.g * high + scale.w, w.h * high + scale.w);
}
