// A causal convolution of each column over the latest TAPS tokens, then SiLU: y[t] = silu(Σ_k taps[k] · x[t − k]). The last
// columns of y are copies of two numbers of each value head. One invocation a token and four columns. Each sequence of the batch
// has `past + runTokens` rows: its tokens in the batch, and before them its tail, the tokens after the recurrent state that it
// reads. The state's buffer holds inputs of earlier tokens: the tail, and the convolution's inputs before the tail, the latest
// first. Inputs before a sequence begins are 0. With the state that a sequence writes, the kernel stores the inputs up to it, and
// the tokens after it as its tail.
// needs: activation

// Inputs of the t-th token of a sequence in the batch, whose first token is `first`; t < 0: tokens before the batch.
fn brought(first: u32, place: vec4u, t: i32, column: u32) -> vec4f {
  if (t >= 0) { return x[(first + u32(t)) * ROW4 + select(GATES_AT4 - WIDTH4, 0u, column < WIDTH4) + column]; }
  if (place.z == 0u) { return vec4f(); }
  let tail = place.z - 1u;
  let back = u32(-t);
  let row = select(STATE4 + (back - tail - 1u) * WIDTH4, TAIL_AT4 + (tail - back) * TAIL4, back <= tail);
  return state[place.x / 2u + row + column];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= TAIL4) { return; }
  let rows = params.past + params.runTokens;
  let first = id.y / rows * params.runTokens;
  let t = i32(id.y % rows) - i32(params.past);
  let place = places[batch_table[first].z];
  if (t + i32(max(place.z, 1u)) - 1 < 0) { return; }
  let own = brought(first, place, t, column);
  // The last token that the written state includes.
  let last = i32(params.runTokens - place.w) - 1;
  let left = place.y / 2u + column;
  if (t > last) { state[left + TAIL_AT4 + u32(t - last - 1) * TAIL4] = own; }
  let at = id.y * TAIL4 + column;
  if (column >= WIDTH4) {
    y[at] = own;
    return;
  }
  var sum = taps[column] * own;
  for (var back = 1u; back < TAPS; back++) { sum += taps[back * WIDTH4 + column] * brought(first, place, t - i32(back), column); }
  y[at] = vec4f(activation(sum.x), activation(sum.y), activation(sum.z), activation(sum.w));
  if (t == last) {
    for (var back = 0u; back < TAPS - 1u; back++) { state[left + STATE4 + back * WIDTH4] = brought(first, place, t - i32(back), column); }
  }
}
