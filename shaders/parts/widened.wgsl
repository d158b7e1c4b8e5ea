// f32 bits of a finite half's value. A subnormal one is normal there: its fraction is shifted up to its first one.
fn widened(half: u32) -> u32 {
  let sign = (half & 0x8000u) << 16u;
  let size = half & 0x7fffu;
  if (size >= 0x400u) { return sign | ((size << 13u) + 0x38000000u); }
  if (size == 0u) { return sign; }
  let first = firstLeadingBit(size);
  return sign | ((first + 103u) << 23u) | ((size << (23u - first)) & 0x7fffffu);
}
