// Pages in f16: keys [NUM_KV_HEADS, entries], then values. A sparse page has an f32 for each entry behind them, a head's
// from a unit on: what its score is raised by, about the logarithm of the tokens it stands for.
fn weights_at(page: vec4u, kv_head: u32) -> u32 {
  let entries = page.y >> 8u;
  return page.x + 2u * NUM_KV_HEADS * entries * HEAD_DIM4 + kv_head * ((entries + 1u) / 2u);
}

fn score_half(scores: ptr<function, array<f32, SCORES>>, keys_base: u32, query: Query, keys: u32) {
  for (var i = 0u; i < HALF4; i += 2u) {
    var q: array<Quad, GROUP>;
    for (var g = 0u; g < GROUP; g++) { q[g] = rotated(of_head(query, g), i); }
    for (var j = 0u; j < keys; j++) {
      let at = keys_base + j * HEAD_DIM4 + i;
      let key = Quad(half4(kv[at]), half4(kv[at + 1u]), half4(kv[at + HALF4]), half4(kv[at + HALF4 + 1u]));
      for (var g = 0u; g < GROUP; g++) { scores[j * GROUP + g] += inner(q[g], key); }
    }
  }
}

fn raise(scores: ptr<function, array<f32, SCORES>>, weights: u32, keys: u32) {
  for (var j = 0u; j < keys; j++) {
    let raised = bitcast<f32>(kv[weights + j / 2u][j & 1u]);
    for (var g = 0u; g < GROUP; g++) { scores[j * GROUP + g] += raised; }
  }
}

fn add_half(output: ptr<function, array<vec4f, OUTPUT4>>, scores: ptr<function, array<f32, SCORES>>, values_base: u32, keys: u32, softmax: ptr<function, array<Softmax, GROUP>>) {
  for (var i = 0u; i < HEAD_DIM4; i += 2u) {
    var o = shrunk(output, softmax, i);
    for (var j = 0u; j < keys; j++) {
      let at = values_base + j * HEAD_DIM4 + i;
      let low = half4(kv[at]);
      let high = half4(kv[at + 1u]);
      for (var g = 0u; g < GROUP; g++) {
        o[2u * g] += scores[j * GROUP + g] * low;
        o[2u * g + 1u] += scores[j * GROUP + g] * high;
      }
    }
    keep(output, o, i);
  }
}

// Eight components of each head of the output so far.
fn shrunk(output: ptr<function, array<vec4f, OUTPUT4>>, softmax: ptr<function, array<Softmax, GROUP>>, i: u32) -> array<vec4f, 2u * GROUP> {
  var o: array<vec4f, 2u * GROUP>;
  for (var g = 0u; g < GROUP; g++) {
    o[2u * g] = output[g * HEAD_DIM4 + i] * softmax[g].shrink;
    o[2u * g + 1u] = output[g * HEAD_DIM4 + i + 1u] * softmax[g].shrink;
  }
  return o;
}

fn keep(output: ptr<function, array<vec4f, OUTPUT4>>, o: array<vec4f, 2u * GROUP>, i: u32) {
  var kept = o;
  for (var g = 0u; g < GROUP; g++) {
    output[g * HEAD_DIM4 + i] = kept[2u * g];
    output[g * HEAD_DIM4 + i + 1u] = kept[2u * g + 1u];
  }
}
