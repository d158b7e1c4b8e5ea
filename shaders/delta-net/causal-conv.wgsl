// A causal convolution over the latest TAPS tokens, each column for itself, and SiLU: y[t] = silu(Σ_k taps[k] · x[t − k]).
// One invocation a token and four columns. Tokens before the batch are in the state that the text has come to, the latest first,
// and those of the batch go into the state behind it. Before a text's beginning there is nothing.
// needs: activation

// Of the token `back` places before the t-th of the batch, in its text.
fn taken(t: u32, back: u32, column: u32) -> vec4f {
  let offset = t % params.runTokens;
  if (back <= offset) { return x[(t - back) * ROW4 + column]; }
  let place = places[batch_table[t].z];
  if (place.z == 0u) { return vec4f(); }
  return state[place.x / 2u + STATE4 + (back - offset - 1u) * WIDTH4 + column];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  let t = id.y;
  var sum = taps[column] * taken(t, 0u, column);
  for (var back = 1u; back < TAPS; back++) { sum += taps[back * WIDTH4 + column] * taken(t, back, column); }
  y[t * WIDTH4 + column] = vec4f(activation(sum.x), activation(sum.y), activation(sum.z), activation(sum.w));
  if (t % params.runTokens + 1u < params.runTokens) { return; }
  let kept = places[batch_table[t].z].y / 2u + STATE4 + column;
  for (var back = 0u; back < TAPS - 1u; back++) { state[kept + back * WIDTH4] = taken(t, back, column); }
}
