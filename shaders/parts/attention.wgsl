#variant score-scale/one
// The factor of scores: the same for all.
fn score_scale(position: u32, pair: u32) -> f32 { return SCALE; }

#variant score-scale/by-place
// The factor of scores of a query at `position` and of a pair of vectors; the first ROTATED4 pairs are rotated.
fn score_scale(position: u32, pair: u32) -> f32 {
  return select(PASSED_SCALE, SCALE, pair < ROTATED4) * (1.0 + TEMPERATURE * log(f32(1u + position / TEMPERATURE_TOKENS)));
}

#variant window/none
// Tokens attend to all tokens before them.
fn first_page_of(position: u32) -> u32 { return 0u; }
fn first_key_of(position: u32, base: u32) -> u32 { return 0u; }
fn are_near(position: u32, queries: vec4i) -> vec4<bool> { return vec4<bool>(true); }

#variant window/latest
// Tokens attend to the latest WINDOW tokens, themselves included. Pages are consecutive: a page's base gives its index.
fn first_position_of(position: u32) -> u32 { return max(position, WINDOW - 1u) - (WINDOW - 1u); }

// Index of the first page that a token sees.
fn first_page_of(position: u32) -> u32 { return first_position_of(position) / PAGE_TOKENS; }

// The first key that it sees in a page that it sees.
fn first_key_of(position: u32, base: u32) -> u32 { return max(first_position_of(position), base) - base; }

// Whether queries at these positions see a key at `position` that is not after them.
fn are_near(position: u32, queries: vec4i) -> vec4<bool> { return queries - i32(position) < vec4i(i32(WINDOW)); }

#variant qk-norm/none
fn query_norm(i: u32) -> vec4f { return vec4f(1.0); }

fn key_norm(i: u32) -> vec4f { return vec4f(1.0); }

#variant qk-norm/heads
fn query_norm(i: u32) -> vec4f { return query_norm_weight[i]; }

fn key_norm(i: u32) -> vec4f { return key_norm_weight[i]; }

#part rotation
// Pages of every form hold rotated values: a Walsh–Hadamard transform of each 64 components, or of the largest power of two
// that divides the head. It spreads an outlier over all components, so that values quantize well. The transform is its own
// inverse: the attention output is rotated back.
const BLOCK4 = min(16u, HEAD_DIM4 & (~HEAD_DIM4 + 1u));
const ROTATED_SCALE = 1.0 / sqrt(f32(4u * BLOCK4));

// The transform within a vector, and its scale, after the transform across a block's vectors.
fn rotated_within(sum: vec4f) -> vec4f {
  let pairs = vec4f(sum.x + sum.y, sum.x - sum.y, sum.z + sum.w, sum.z - sum.w);
  return vec4f(pairs.xy + pairs.zw, pairs.xy - pairs.zw) * ROTATED_SCALE;
}

#part rotated-value
// One rotated vector of a head. The kernel's `unrotated(at, k)` returns the vector k of the head at `at`.
// needs: rotation

// Components 4 i to 4 i + 3 of the rotated head at `at`.
fn rotated(at: u32, i: u32) -> vec4f {
  let first = i & ~(BLOCK4 - 1u);
  var sum = vec4f();
  for (var k = 0u; k < BLOCK4; k++) {
    let vector = unrotated(at, first + k);
    sum += select(vector, -vector, (countOneBits(i & k) & 1u) == 1u);
  }
  return rotated_within(sum);
}

#variant store-token/none
// store-kv has run before.
fn store_token(page: vec4u, kv_head: u32, row: u32, offset: u32, id: u32) {}

#variant store-token/own
// Stores a head of a token, as store-kv does. No other workgroup of this dispatch may attend to the token.
// needs: rotated-value, stored-half
fn store_token(page: vec4u, kv_head: u32, row: u32, offset: u32, id: u32) {
  let source = row + (FIRST_KEY + kv_head) * HEAD_DIM4;
  let value_source = source + NUM_KV_HEADS * HEAD_DIM4;
  let key = half_key_at(page, kv_head, offset);
  let value = half_key_at(page, NUM_KV_HEADS + kv_head, offset);
  for (var i = id; i < HEAD_DIM4; i += WORKGROUP) { parts[i] = qkv[value_source + i]; }
  workgroupBarrier();
  for (var i = id; i < HALF4; i += WORKGROUP) {
    let a = qkv[source + i];
    let b = qkv[source + HALF4 + i];
    let cosine = rope[offset * HEAD_DIM4 + i];
    let sine = rope[offset * HEAD_DIM4 + HALF4 + i];
    kv[key + i] = stored_half(a * cosine - b * sine);
    kv[key + HALF4 + i] = stored_half(a * sine + b * cosine);
    kv[value + i] = stored_half(rotated(0u, i));
    kv[value + HALF4 + i] = stored_half(rotated(0u, HALF4 + i));
  }
  storageBarrier();
}

#part split-outputs
// Index of each split of a (token, head) in `partial_outputs`: the unnormalized output, then (maximum, sum) of its softmax.
const SPLIT4 = HEAD_DIM4 + 1u;
const NEXT_SPLIT = NUM_HEADS * SPLIT4;

fn first_split(token: u32, head: u32) -> u32 { return (token * params.splits * NUM_HEADS + head) * SPLIT4; }

#part keep-probe
// Keeps probes of a batch's last tokens for probe-page: four components of the query and of the output, and the softmax.
const ROW4 = (FIRST_KEY + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const PROBE4 = 2u * HEAD_DIM4 + 1u;

fn keep_probe(token: u32, head: u32, i: u32, output: vec4f, softmax: vec2f) {
  if (token + PROBES < params.tokens) { return; }
  let entry = batch_table[token];
  let slot = entry.z / params.slotPages;
  if (slot >= SLOTS) { return; } // a branch: its pages change no form
  let probe = ((slot * PROBES + entry.y % PROBES) * NUM_HEADS + head) * PROBE4;
  probes[probe + i] = qkv[token * ROW4 + head * HEAD_DIM4 + i];
  probes[probe + HEAD_DIM4 + i] = output;
  if (i == 0u) { probes[probe + 2u * HEAD_DIM4] = vec4f(softmax, 0.0, 0.0); }
}
