// RMS-norms, weights and rotates each head of queries and keys by its token's position, in place. LANES invocations a head;
// each has the vectors i and HALF4 + i, which rotate together.
// needs: reduce-sum
const HALF4 = HEAD_DIM4 / 2u;
const ROTATED = NUM_HEADS + NUM_KV_HEADS;
const ROW4 = (ROTATED + NUM_KV_HEADS) * HEAD_DIM4;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.x * (WORKGROUP / LANES) + local / LANES;
  let head = min(row, ROTATED - 1u);
  let base = group.y * ROW4 + head * HEAD_DIM4;
  var squares = vec4f();
  for (var i = lane_of(local); i < HEAD_DIM4; i += LANES) { squares += qkv[base + i] * qkv[base + i]; }
  let sum = dot(reduce_sum(squares, local), vec4f(1.0));
  if (row >= ROTATED) { return; }
  let scale = inverseSqrt(sum / f32(HEAD_DIM4 * 4u) + NORM_EPS);
  let weights = select(HEAD_DIM4, 0u, head < NUM_HEADS);
  let angles = batch_table[group.y].y * HEAD_DIM4;
  for (var i = lane_of(local); i < HALF4; i += LANES) {
    let a = qkv[base + i] * scale * norm_weights[weights + i];
    let b = qkv[base + HALF4 + i] * scale * norm_weights[weights + HALF4 + i];
    let cosine = rope[angles + i];
    let sine = rope[angles + HALF4 + i];
    qkv[base + i] = a * cosine - b * sine;
    qkv[base + HALF4 + i] = a * sine + b * cosine;
  }
}
