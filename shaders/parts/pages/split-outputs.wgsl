// Where what attention leaves of each split of a (token, head) lies, and the largest maximum of their softmaxes.
const SPLIT4 = HEAD_DIM4 + 1u;
const NEXT_SPLIT = NUM_HEADS * SPLIT4;

fn first_split(token: u32, head: u32) -> u32 { return (token * params.splits * NUM_HEADS + head) * SPLIT4; }

fn largest_maximum(first: u32) -> f32 {
  var maximum = -1e30;
  for (var s = 0u; s < params.splits; s++) { maximum = max(maximum, partial_outputs[first + s * NEXT_SPLIT + HEAD_DIM4].x); }
  return maximum;
}
