// One token: y[row] = weight[row] · x for four rows a LANES invocations, which share out the columns.
//   NORMED      x is RMS-normed on the way: the dot product with x · norm_weight is finished with 1 / rms(x).
//   GATED       the second half of the rows is `up`: y = silu(gate) · up.
//   ACCUMULATE  y keeps what it had (the residual).
fn load_block(i: u32) -> Block {
  return Block(x[i], x[i + 1u], x[i + 2u], x[i + 3u], x[i + 4u], x[i + 5u], x[i + 6u], x[i + 7u]);
}

fn row_dot(row: u32, block: u32, stepped: Block, sum: f32) -> f32 {
  let scale = scales(row, block);
  return dot(block_dots(codes(row, block), stepped), scale.xy) + scale.z * sum;
}

fn rows_dot(rows: vec4u, block: u32, stepped: Block, sum: f32) -> vec4f {
  return vec4f(
    row_dot(rows.x, block, stepped, sum), row_dot(rows.y, block, stepped, sum),
    row_dot(rows.z, block, stepped, sum), row_dot(rows.w, block, stepped, sum));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let outputs = select(params.rows, params.rows / 2u, GATED);
  let first = 4u * (group.x * (WORKGROUP / LANES) + local / LANES);
  let rows = min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(outputs - 1u));
  var sums = vec4f();
  var up_sums = vec4f();
  var squares = 0.0;
  for (var block = local % LANES; block < BLOCKS; block += LANES) {
    var v = load_block(block * 8u);
    if (NORMED) {
      let total = block_dots(v, v);
      squares += total.x + total.y;
      let i = block * 8u;
      v = Block(
        v.a * norm_weight[i], v.b * norm_weight[i + 1u], v.c * norm_weight[i + 2u], v.d * norm_weight[i + 3u],
        v.e * norm_weight[i + 4u], v.f * norm_weight[i + 5u], v.g * norm_weight[i + 6u], v.h * norm_weight[i + 7u]);
    }
    let stepped = block_times(v, CODE_STEP);
    let sum = block_sum(v);
    sums += rows_dot(rows, block, stepped, sum);
    if (GATED) { up_sums += rows_dot(rows + outputs, block, stepped, sum); }
  }
  sums = reduce_sum(sums, local);
  if (GATED) { up_sums = reduce_sum(up_sums, local); }
  if (NORMED) {
    let scale = inverseSqrt(reduce_sum(vec4f(squares), local).x / f32(BLOCKS * 32u) + NORM_EPS);
    sums *= scale;
    up_sums *= scale;
  }
  if (local % LANES != 0u) { return; }
  for (var i = 0u; i < 4u && first + i < outputs; i++) {
    let row = first + i;
    var value = sums[i] + bias(params.rowStart + row);
    if (GATED) { value = value / (1.0 + exp(-value)) * up_sums[i]; }
    if (ACCUMULATE) { value += y[params.rowStart + row]; }
    y[params.rowStart + row] = value;
  }
}
