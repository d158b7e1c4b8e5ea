// Few tokens: y[t, row] = weight[row] · x[t]. LANES invocations share the columns of four rows and one or two tokens.
//   TOKENS      1 or 2: with two, a weight is unpacked once for both.
//   NORMED      x is RMS-normed: the dot product with x · norm_weight is multiplied by 1 / rms(x) at the end.
//   GATED       the second half of the rows is `up`: y = activation(gate) · up.
//   ACCUMULATE  the product is added to y (the residual).
// needs: activation, bias, block, codes, expert, load-block, load-squares, lora-add, reduce-sum, rides, scales
fn square(i: u32) -> f32 { return dot(x[i], x[i]); }

// 32 inputs in the form that four rows need.
struct Inputs { stepped: Block, sums: vec2f }

fn load_inputs(first: u32, local: u32) -> Inputs {
  let v = load_block(first, local);
  return Inputs(block_times(v, CODE_STEP), half_sums(v));
}

// The minima of the halves of a block, times their inputs.
fn minima_dot(scale: vec4f, sums: vec2f) -> f32 {
  if (MINIMA == 2u) { return dot(scale.zw, sums); }
  return scale.z * (sums.x + sums.y);
}

// Sums of four rows for two tokens.
struct Sums { a: vec4f, b: vec4f }

fn row_dot(row: u32, block: u32, a: Inputs, b: Inputs) -> vec2f {
  let scale = scales(row, block);
  let w = codes(row, block);
  let first = dot(block_dots(w, a.stepped), scale.xy) + minima_dot(scale, a.sums);
  if (TOKENS == 1u) { return vec2f(first, 0.0); }
  return vec2f(first, dot(block_dots(w, b.stepped), scale.xy) + minima_dot(scale, b.sums));
}

fn rows_dot(rows: vec4u, block: u32, a: Inputs, b: Inputs) -> Sums {
  let w = row_dot(rows.x, block, a, b);
  let x = row_dot(rows.y, block, a, b);
  let y = row_dot(rows.z, block, a, b);
  let z = row_dot(rows.w, block, a, b);
  return Sums(vec4f(w.x, x.x, y.x, z.x), vec4f(w.y, x.y, y.y, z.y));
}

fn finish(token: u32, first: u32, outputs: u32, sums: vec4f, up_sums: vec4f) {
  for (var i = 0u; i < 4u && first + i < outputs; i++) {
    let row = params.rowStart + first + i;
    let at = token * params.outputWidth + row;
    var value = sums[i] * params.scale + bias(row);
    if (GATED) { value = activation(value) * up_sums[i]; }
    if (ACCUMULATE) { value += y[at]; }
    y[at] = value;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  if (rides(group, local)) { return; }
  let outputs = select(params.rows, params.rows / 2u, GATED);
  let first = 4u * (group.x * (WORKGROUP / LANES) + local / LANES);
  let token = group.y * TOKENS;
  let rows = min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(outputs - 1u)) + expert_row(token);
  let second = min(token + 1u, params.tokens - 1u);
  var sums = Sums();
  var up_sums = Sums();
  var squares = vec2f();
  for (var block = lane_of(local); block < BLOCKS; block += LANES) {
    let at = (input_token(token) * BLOCKS + block) * 8u;
    let a = load_inputs(at, local);
    var b: Inputs;
    if (NORMED) { squares.x += load_squares(at, local); }
    if (TOKENS == 2u) {
      let at_second = (second * BLOCKS + block) * 8u;
      b = load_inputs(at_second, local);
      if (NORMED) { squares.y += load_squares(at_second, local); }
    }
    let dots = rows_dot(rows, block, a, b);
    sums.a += dots.a;
    sums.b += dots.b;
    if (GATED) {
      let up_dots = rows_dot(rows + outputs, block, a, b);
      up_sums.a += up_dots.a;
      up_sums.b += up_dots.b;
    }
  }
  // The reduction and the factor 1 / rms include the adapters' part.
  let row = params.rowStart + min(first, (outputs - 1u) / 4u * 4u);
  sums.a = reduce_sum(sums.a + lora_add(token, row, lane_of(local), LANES), local);
  if (GATED) { up_sums.a = reduce_sum(up_sums.a + lora_add(token, row + outputs, lane_of(local), LANES), local); }
  if (TOKENS == 2u) {
    sums.b = reduce_sum(sums.b + lora_add(second, row, lane_of(local), LANES), local);
    if (GATED) { up_sums.b = reduce_sum(up_sums.b + lora_add(second, row + outputs, lane_of(local), LANES), local); }
  }
  if (NORMED) {
    var total = vec2f(total_squares(squares.x), 0.0);
    if (TOKENS == 2u) { total.y = total_squares(squares.y); }
    let mean = reduce_sum(vec4f(total, 0.0, 0.0), local).xy / f32(BLOCKS * 32u);
    let scale = inverseSqrt(mean + NORM_EPS);
    sums.a *= scale.x;
    up_sums.a *= scale.x;
    sums.b *= scale.y;
    up_sums.b *= scale.y;
  }
  if (lane_of(local) != 0u) { return; }
  finish(token, first, outputs, sums.a, up_sums.a);
  if (TOKENS == 2u && second > token) { finish(second, first, outputs, sums.b, up_sums.b); }
}
