// Sum over the workgroup through shared memory; every invocation gets it.
var<workgroup> reduce_partial: array<vec4f, LANES>;

fn reduce_sum(value: vec4f, local: u32) -> vec4f {
  workgroupBarrier(); // an earlier sum may still be being read
  reduce_partial[local] = value;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (local < width) { reduce_partial[local] += reduce_partial[local + width]; }
  }
  workgroupBarrier();
  return reduce_partial[0];
}

// Which of the LANES invocations of a row this is.
fn lane_of(local: u32) -> u32 { return local; }
