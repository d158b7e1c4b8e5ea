// Codes and upper bits of two blocks are read at once, which an invocation has one after the other.
// needs: codes
fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes {
  if (!begins_run) { return codes_of(before.next.xy, before.next.z, vec3u()); }
  let i = row * BLOCKS + part;
  let low = weight[i / 2u];
  let high = weight_high[i / 2u];
  let is_second = (i & 1u) == 1u;
  return codes_of(select(low.xy, low.zw, is_second), select(high.x, high.y, is_second), vec3u(low.zw, high.y));
}
