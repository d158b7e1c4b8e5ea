// One token: y[row] = weight[row] · x, four rows to LANES invocations, which share out the columns.
//   NORMED      x is RMS-normed on the way: the dot product with x · norm_weight is finished with 1 / rms(x).
//   GATED       the second half of the rows is `up`: y = silu(gate) · up.
//   ACCUMULATE  y keeps what it had (the residual).
fn input(i: u32) -> vec4f {
  if (NORMED) { return x[i] * norm_weight[i]; }
  return x[i];
}

fn square(i: u32) -> f32 { return dot(x[i], x[i]); }

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
  var square_sum = 0.0;
  for (var block = lane_of(local); block < BLOCKS; block += LANES) {
    let v = load_block(block * 8u, local);
    if (NORMED) { square_sum += load_squares(block * 8u, local); }
    let stepped = block_times(v, CODE_STEP);
    let sum = block_sum(v);
    sums += rows_dot(rows, block, stepped, sum);
    if (GATED) { up_sums += rows_dot(rows + outputs, block, stepped, sum); }
  }
  sums = reduce_sum(sums, local);
  if (GATED) { up_sums = reduce_sum(up_sums, local); }
  if (NORMED) {
    let scale = inverseSqrt(reduce_sum(vec4f(total_squares(square_sum)), local).x / f32(BLOCKS * 32u) + NORM_EPS);
    sums *= scale;
    up_sums *= scale;
  }
  if (lane_of(local) != 0u) { return; }
  for (var i = 0u; i < 4u && first + i < outputs; i++) {
    let row = first + i;
    var value = sums[i] * params.scale + bias(params.rowStart + row);
    if (GATED) { value = value / (1.0 + exp(-value)) * up_sums[i]; }
    if (ACCUMULATE) { value += y[params.rowStart + row]; }
    y[params.rowStart + row] = value;
  }
}
