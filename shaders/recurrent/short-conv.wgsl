// A gated causal convolution of each column: with x[t] = (B, C, u), y[t] = C[t] · Σ_k taps[k] · (B · u)[t − k]. One invocation
// a token and four columns. It stores B · u in the token's page for later batches; tokens of this batch compute it again,
// since a dispatch does not wait for its own stores. B · u is 0 before a sequence begins and in an evicted page.

// B · u of the t-th token of the batch.
fn taken(t: u32, column: u32) -> vec4f {
  let row = t * 3u * WIDTH4 + column;
  return x[row] * x[row + 2u * WIDTH4];
}

// B · u of the token that is `back` positions before the t-th of the batch, in the same sequence.
fn taken_before(t: u32, back: u32, column: u32) -> vec4f {
  let entry = batch_table[t];
  if (entry.y < back) { return vec4f(); }
  let position = entry.y - back;
  if (t >= back) {
    let other = batch_table[t - back];
    if (other.z == entry.z && other.y == position) { return taken(t - back, column); }
  }
  let page = pages[entry.z + position / PAGE_TOKENS];
  if (page.y >> 8u == 0u) { return vec4f(); }
  return state[page.x / 2u + (position % PAGE_TOKENS) * WIDTH4 + column];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  let t = id.y;
  let entry = batch_table[t];
  let own = taken(t, column);
  state[pages[entry.z + entry.w].x / 2u + (entry.y % PAGE_TOKENS) * WIDTH4 + column] = own;
  var sum = taps[column] * own;
  for (var back = 1u; back < TAPS; back++) { sum += taps[back * WIDTH4 + column] * taken_before(t, back, column); }
  y[t * WIDTH4 + column] = x[(t * 3u + 1u) * WIDTH4 + column] * sum;
}
