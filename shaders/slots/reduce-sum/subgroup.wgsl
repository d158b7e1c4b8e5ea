// Sum over the workgroup: within subgroups first, then over theirs. Counts on subgroups being runs of local indices,
// which they are for one-dimensional workgroups on every known driver.
var<workgroup> reduce_partial: array<vec4f, LANES>;

fn reduce_sum(value: vec4f, local: u32) -> vec4f {
  let sum = subgroupAdd(value);
  let size = subgroupAdd(1u);
  workgroupBarrier(); // an earlier sum may still be being read
  if (subgroupElect()) { reduce_partial[local / size] = sum; }
  workgroupBarrier();
  var total = vec4f();
  for (var i = 0u; i * size < LANES; i++) { total += reduce_partial[i]; }
  return total;
}

// Which of the LANES invocations of a row this is.
fn lane_of(local: u32) -> u32 { return local; }
