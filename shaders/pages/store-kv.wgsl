// Writes the batch's keys and values to their pages as f16; one invocation a (token, head, i) for the vectors i and HALF4 + i,
// which rotate together. (lavapipe would unroll a loop over i, and compile for seconds.)
// A key is rotated by its offset within its page, the query by the rest, so that a page can move. Values are stored rotated.
// With QK_NORM keys are RMS-normed first, and queries in place, one invocation a head; with VALUE_NORM values are normed.
// STORED_KV of NUM_KV_HEADS heads are stored: all or none.
// needs: qk-norm, rotated-value, stored-half
const HALF4 = HEAD_DIM4 / 2u;
const ROW4 = (FIRST_KEY + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const HALF_PART = NUM_KV_HEADS * PAGE_TOKENS * HEAD_DIM4;

fn unrotated(at: u32, k: u32) -> vec4f { return qkv[at + k]; }

fn inverse_rms(base: u32) -> f32 {
  var squares = vec4f();
  for (var i = 0u; i < HEAD_DIM4; i++) { squares += qkv[base + i] * qkv[base + i]; }
  return inverseSqrt(dot(squares, vec4f(1.0)) / f32(HEAD_DIM4 * 4u) + NORM_EPS);
}

fn norm_query(base: u32) {
  let scale = inverse_rms(base);
  for (var i = 0u; i < HEAD_DIM4; i++) { qkv[base + i] *= scale * query_norm(i); }
}

fn store_key(base: u32, target_base: u32, offset: u32, i: u32) {
  var scale = 1.0;
  if (QK_NORM) { scale = inverse_rms(base); }
  let a = qkv[base + i] * scale * key_norm(i);
  let b = qkv[base + HALF4 + i] * scale * key_norm(HALF4 + i);
  let cosine = rope[offset * HEAD_DIM4 + i];
  let sine = rope[offset * HEAD_DIM4 + HALF4 + i];
  kv[target_base + i] = stored_half(a * cosine - b * sine);
  kv[target_base + HALF4 + i] = stored_half(a * sine + b * cosine);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let head = id.x / HALF4;
  let i = id.x % HALF4;
  let token = id.y;
  let row = token * ROW4;
  if (head >= STORED_KV) {
    let query_head = id.x - STORED_KV * HALF4;
    if (QK_NORM && query_head < NUM_HEADS) { norm_query(row + query_head * HEAD_DIM4); }
    return;
  }
  let entry = batch_table[token];
  let page = pages[entry.z + entry.w];
  let offset = entry.y - page.z;
  let key = page.x + (head * PAGE_TOKENS + offset) * HEAD_DIM4;
  store_key(row + (FIRST_KEY + head) * HEAD_DIM4, key, offset, i);
  let value = key + HALF_PART;
  let source = row + (FIRST_KEY + NUM_KV_HEADS + head) * HEAD_DIM4;
  var scale = 1.0;
  if (VALUE_NORM) { scale = inverse_rms(source); }
  kv[value + i] = stored_half(rotated(source, i) * scale);
  kv[value + HALF4 + i] = stored_half(rotated(source, HALF4 + i) * scale);
}
