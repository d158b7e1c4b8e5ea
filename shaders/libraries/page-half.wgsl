// Pages in f16: keys [NUM_KV_HEADS, entries], then values. A sparse page has an f32 for each entry behind them, a head's
// from a unit on: what its score is raised by, about the logarithm of the tokens it stands for.
fn weights_at(page: vec4u, kv_head: u32) -> u32 {
  let entries = page.y >> 8u;
  return page.x + 2u * NUM_KV_HEADS * entries * HEAD_DIM4 + kv_head * ((entries + 1u) / 2u);
}

fn score_half(scores: ptr<function, array<f32, PAGE_TOKENS>>, keys_base: u32, query: Query, keys: u32) {
  for (var i = 0u; i < HALF4; i += 2u) {
    let q = rotated(query, i);
    for (var j = 0u; j < keys; j++) {
      let key = keys_base + j * HEAD_DIM4 + i;
      scores[j] += dot(q.a, half4(kv[key])) + dot(q.b, half4(kv[key + 1u]))
        + dot(q.c, half4(kv[key + HALF4])) + dot(q.d, half4(kv[key + HALF4 + 1u]));
    }
  }
}

fn raise(scores: ptr<function, array<f32, PAGE_TOKENS>>, weights: u32, keys: u32) {
  for (var j = 0u; j < keys; j++) {
    let pair = kv[weights + j / 2u];
    scores[j] += bitcast<f32>(select(pair.x, pair.y, (j & 1u) == 1u));
  }
}

fn add_half(output: ptr<function, array<vec4f, HEAD_DIM4>>, scores: ptr<function, array<f32, PAGE_TOKENS>>, values_base: u32, keys: u32, shrink: f32) {
  for (var i = 0u; i < HEAD_DIM4; i += 4u) {
    var o0 = output[i] * shrink;
    var o1 = output[i + 1u] * shrink;
    var o2 = output[i + 2u] * shrink;
    var o3 = output[i + 3u] * shrink;
    for (var j = 0u; j < keys; j++) {
      let value = values_base + j * HEAD_DIM4 + i;
      let p = scores[j];
      o0 += p * half4(kv[value]);
      o1 += p * half4(kv[value + 1u]);
      o2 += p * half4(kv[value + 2u]);
      o3 += p * half4(kv[value + 3u]);
    }
    output[i] = o0;
    output[i + 1u] = o1;
    output[i + 2u] = o2;
    output[i + 3u] = o3;
  }
}
