// Sum over the workgroup, whose invocations are LANES, through its memory; every invocation gets it. What subgroups add
// up would have to be told apart by their invocations, whose order WGSL does not promise. Between sums the memory is the
// kernel's, which may ask for KEPT vectors: what is used in turn takes no room twice.
const REDUCE_COLUMNS = select(8u, 16u, LANES > 64u);
var<workgroup> shared_vectors: array<vec4f, max(LANES, KEPT)>;

fn reduce_sum(value: vec4f, local: u32) -> vec4f {
  workgroupBarrier(); // an earlier sum may still be being read
  shared_vectors[local] = value;
  workgroupBarrier();
  if (local < REDUCE_COLUMNS) {
    var column = value;
    for (var i = local + REDUCE_COLUMNS; i < LANES; i += REDUCE_COLUMNS) { column += shared_vectors[i]; }
    shared_vectors[local] = column;
  }
  workgroupBarrier();
  var total = vec4f();
  for (var i = 0u; i < REDUCE_COLUMNS; i++) { total += shared_vectors[i]; }
  return total;
}

// Which of the LANES invocations of a row this is.
fn lane_of(local: u32) -> u32 { return local; }
