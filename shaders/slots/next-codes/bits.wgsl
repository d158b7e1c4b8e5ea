// Four blocks are read at once, which an invocation has one after the other.
// needs: codes
fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes {
  if (!begins_run) { return RawCodes(before.next.x, before.next.yzz); }
  let i = row * BLOCKS + part;
  let words = weight[i / 4u];
  return RawCodes(words[i % 4u], vec3u(words[(i + 1u) % 4u], words.zw));
}
