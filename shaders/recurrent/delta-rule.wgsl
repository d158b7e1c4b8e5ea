// The gated delta rule of one value head, token by token: S ← decay · S; S ← S + k ⊗ β (v − k·S); y = q·S / sqrt(HEAD_DIM), with
// q and k of length one, decay = exp(rate · softplus(α + bias)) and β = sigmoid(b). One workgroup a sequence of the batch, head
// and COLUMNS of its values. PARTS invocations share a column of S, four rows in turn, so that neighbours read neighbouring keys;
// they keep their rows in registers.
// S is stored as [HEAD_DIM / 4, HEAD_DIM] vectors of four rows. A sequence starts from a state if it has one, goes through the
// tokens after that state (its tail), then through those of the batch. It writes another state after the last token that cannot
// be rejected. The sums along a column are S·k, S·q, k·k and q·q at once, and q·k, so that y only needs the previous S.
const HEAD4 = HEAD_DIM / 4u;
// Two sets in turn, so that no token's sums are overwritten while others read them.
var<workgroup> sums: array<vec4f, 2u * WORKGROUP>;
var<workgroup> products: array<f32, 2u * WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let head = group.y;
  let lane = local % COLUMNS;
  let part = local / COLUMNS;
  let column = group.x * COLUMNS + lane;
  let first = group.z * params.runTokens;
  let place = places[batch_table[first].z];
  let tail = max(place.z, 1u) - 1u;
  let count = tail + params.runTokens;
  let kept = count - place.w; // tokens that the written state includes
  let own = (head * HEAD4 + part) * HEAD_DIM + column;
  #for i in PART4
  var s#i = vec4f();
  #end
  if (place.z != 0u) {
    let start = place.x / 2u + own;
    #for i in PART4
    s#i = state[start + #iu * PARTS * HEAD_DIM];
    #end
  }
  let key_head = select(head / (NUM_VALUE_HEADS / NUM_KEY_HEADS), head % NUM_KEY_HEADS, TILED);
  let query_at = key_head * HEAD4 + part;
  let key_at = query_at + NUM_KEY_HEADS * HEAD4;
  let value_at = (2u * NUM_KEY_HEADS + head) * HEAD4 + column / 4u;
  for (var n = 0u; n < count; n++) {
    let row = (group.z * (params.past + params.runTokens) + params.past + n - tail) * ROW4;
    let beta = 1.0 / (1.0 + exp(min(-gate(row, head), 88.0)));
    let alpha = gate(row, NUM_VALUE_HEADS + head) + decay_bias[head];
    let decay = exp(decay_rate[head] * (max(alpha, 0.0) + log(1.0 + exp(-abs(alpha)))));
    var sum = vec4f();
    var product = 0.0;
    #for i in PART4
    s#i *= decay;
    let k#i = x[row + key_at + #iu * PARTS];
    let q#i = x[row + query_at + #iu * PARTS];
    sum += vec4f(dot(s#i, k#i), dot(s#i, q#i), dot(k#i, k#i), dot(q#i, q#i));
    product += dot(q#i, k#i);
    #end
    if (PARTS > 1u) {
      let turn = (n & 1u) * WORKGROUP;
      sums[turn + local] = sum;
      products[turn + local] = product;
      workgroupBarrier();
      sum = vec4f();
      product = 0.0;
      for (var i = lane; i < WORKGROUP; i += COLUMNS) {
        sum += sums[turn + i];
        product += products[turn + i];
      }
    }
    let key_scale = inverseSqrt(sum.z + LENGTH_EPS);
    let delta = beta * (x[row + value_at][column % 4u] - sum.x * key_scale) * key_scale;
    #for i in PART4
    s#i += k#i * delta;
    #end
    if (part == 0u && n >= tail) {
      y[((first + n - tail) * NUM_VALUE_HEADS + head) * HEAD_DIM + column] = (sum.y + product * delta) * inverseSqrt(sum.w + LENGTH_EPS) * SCALE;
    }
    if (n + 1u == kept) {
      let left = place.y / 2u + own;
      #for i in PART4
      state[left + #iu * PARTS * HEAD_DIM] = s#i;
      #end
    }
  }
}

// The i-th gate: how much of a token is written, and how much of the state decays.
fn gate(row: u32, i: u32) -> f32 { return x[row + GATES_AT4 + i / 4u][i % 4u]; }
