// RMS-norms q and k of each token across all heads, in place in rows of q, k and v. LANES invocations a q or k.
// needs: reduce-sum
const QUERY4 = NUM_HEADS * HEAD_DIM4;
const KEY4 = NUM_KV_HEADS * HEAD_DIM4;
const ROW4 = QUERY4 + 2u * KEY4;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.x * (WORKGROUP / LANES) + local / LANES;
  let count = 2u * params.tokens;
  let item = min(row, count - 1u);
  let is_key = item % 2u == 1u;
  let start = select(0u, QUERY4, is_key);
  let width = select(QUERY4, KEY4, is_key);
  let base = item / 2u * ROW4 + start;
  var squares = vec4f();
  for (var i = lane_of(local); i < width; i += LANES) { squares += qkv[base + i] * qkv[base + i]; }
  let sum = dot(reduce_sum(squares, local), vec4f(1.0));
  if (row >= count) { return; }
  let scale = inverseSqrt(sum / f32(width * 4u) + NORM_EPS);
  for (var i = lane_of(local); i < width; i += LANES) { qkv[base + i] *= scale * norm_weight[start + i]; }
}
