// Upper bits of four blocks are read at once, of which two invocations have two each: the `j`th and the one two behind it.
// needs: codes
fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes {
  let i = row * BLOCKS + part;
  if (!begins_run) { return RawCodes(weight[i], before.later, 0u); }
  let words = weight_high[i / 4u];
  let high = select(words.xz, words.yw, (i & 1u) == 1u);
  return RawCodes(weight[i], select(high.x, high.y, (i & 2u) != 0u), high.y);
}
