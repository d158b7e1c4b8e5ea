// Sum over the workgroup, whose invocations are LANES, through its memory; every invocation gets it. What subgroups add
// up would have to be told apart by their invocations, whose order WGSL does not promise.
const REDUCE_COLUMNS = select(8u, 16u, LANES > 64u);
var<workgroup> reduce_partial: array<vec4f, LANES>;

fn reduce_sum(value: vec4f, local: u32) -> vec4f {
  workgroupBarrier(); // an earlier sum may still be being read
  reduce_partial[local] = value;
  workgroupBarrier();
  if (local < REDUCE_COLUMNS) {
    var column = value;
    for (var i = local + REDUCE_COLUMNS; i < LANES; i += REDUCE_COLUMNS) { column += reduce_partial[i]; }
    reduce_partial[local] = column;
  }
  workgroupBarrier();
  var total = vec4f();
  for (var i = 0u; i < REDUCE_COLUMNS; i++) { total += reduce_partial[i]; }
  return total;
}

// Which of the LANES invocations of a row this is.
fn lane_of(local: u32) -> u32 { return local; }
