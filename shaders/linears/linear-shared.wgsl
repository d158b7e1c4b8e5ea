// Few tokens on a GPU: y[t, row] = weight[row] · x[t]. ROW_LANES invocations share out the columns of ROWS rows, and a
// workgroup has several such groups. It puts the inputs into its memory first, TILE_BLOCKS blocks at a time, so that they
// are read in order, and once for all of its rows.
//   TOKENS      a weight is unpacked once for all of them.
//   NORMED      x is RMS-normed on the way: the dot product with x · norm_weight is finished with 1 / rms(x).
//   GATED       the second half of the rows is `up`: y = activation(gate) · up. A group has OUTPUTS rows of each.
//   ACCUMULATE  y keeps what it had (the residual).
// needs: activation, bias, block, codes, expert, input, lora-add, reduce-sum, rides, scales
const GROUPS = WORKGROUP / ROW_LANES;
const CODE_SCALE = vec4f(1.0) / CODE_STEP;
// In `shared_vectors` are inputs times CODE_STEP, `[tokens][vectors of a block][blocks]`; then a token's sums, an
// invocation's each.
const TILE_STRIDE = KEPT / (TOKENS * 8u);
// `[tokens][minima of a block][blocks]`.
var<workgroup> block_sums: array<f32, max(TOKENS * MINIMA * TILE_BLOCKS, 1u)>;
// Sums of an invocation's squares, four tokens together.
var<private> squares: array<vec4f, TOKEN_QUADS>;

fn add_dot(sum: f32, a: vec4f, b: vec4f) -> f32 { return a.w * b.w + (a.z * b.z + (a.y * b.y + (a.x * b.x + sum))); }

// The `i`th vector of a block; i is constant.
fn quad(block: Block, i: u32) -> vec4f {
  switch i {
    case 0u: { return block.a; }
    case 1u: { return block.b; }
    case 2u: { return block.c; }
    case 3u: { return block.d; }
    case 4u: { return block.e; }
    case 5u: { return block.f; }
    case 6u: { return block.g; }
    default: { return block.h; }
  }
}

// Which row the `i`th of a group that begins with output `first` is.
fn row_of(first: u32, i: u32, outputs: u32) -> u32 {
  return min(first + i % OUTPUTS, outputs - 1u) + select(0u, outputs, i >= OUTPUTS);
}

fn fill_inputs(first_token: u32, start: u32, count: u32, local: u32) {
  for (var i = local; i < 8u * count; i += WORKGROUP) {
    let at = i % 8u * TILE_STRIDE + i / 8u;
    #for t in TOKENS
    let i#t = (input_token(first_token + #tu) * BLOCKS + start) * 8u + i;
    shared_vectors[at + #tu * 8u * TILE_STRIDE] = input(i#t) * CODE_STEP;
    if (NORMED) { squares[#tu / 4u][#tu % 4u] += dot(x[i#t], x[i#t]); }
    #end
  }
}

// Of each block of inputs, or of each half, which minima are times.
fn sum_blocks(count: u32, local: u32) {
  const VECTORS = 8u / max(MINIMA, 1u);
  for (var i = local; i < TOKENS * MINIMA * count; i += WORKGROUP) {
    let place = i / count;
    let block = i % count;
    var sum = vec4f();
    for (var v = 0u; v < VECTORS; v++) { sum += shared_vectors[(place * VECTORS + v) * TILE_STRIDE + block]; }
    block_sums[place * TILE_BLOCKS + block] = dot(sum, CODE_SCALE);
  }
}

// OUTPUTS of four outputs, of which the first is `i` further on.
fn outputs_from(four: vec4f, i: u32) -> vec4f {
  let two = select(four, four.zwzw, (i & 2u) != 0u);
  return select(two, two.yyww, (i & 1u) != 0u);
}

// What adapters add to the group's rows.
fn lora_rows(token: u32, first: u32, outputs: u32, lane: u32) -> vec4f {
  let output = min(first, outputs - 1u);
  let row = params.rowStart + output / 4u * 4u;
  let own = outputs_from(lora_add(token, row, lane, ROW_LANES), output % 4u);
  if (!GATED) { return own; }
  let up = outputs_from(lora_add(token, row + outputs, lane, ROW_LANES), output % 4u);
  if (OUTPUTS == 1u) { return vec4f(own.x, up.x, 0.0, 0.0); }
  return vec4f(own.xy, up.xy);
}

fn store(token: u32, output: u32, outputs: u32, sum: f32, up_sum: f32) {
  let place = output_token(token);
  if (place >= params.tokens || output >= outputs) { return; }
  let row = params.rowStart + output;
  let at = place * params.outputWidth + row;
  var value = sum * params.scale + bias(row);
  if (GATED) { value = activation(value) * up_sum; }
  if (ACCUMULATE) { value += y[at]; }
  y[at] = value;
}

// Sum of what the invocations of a group have put down.
fn group_sum(group: u32) -> vec4f {
  var sum = vec4f();
  for (var i = 0u; i < ROW_LANES; i++) { sum += shared_vectors[group * ROW_LANES + (group + i) % ROW_LANES]; }
  return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  if (rides(group, local)) { return; }
  let outputs = select(params.rows, params.rows / 2u, GATED);
  let lane = local % ROW_LANES;
  let first = (group.x * GROUPS + local / ROW_LANES) * OUTPUTS;
  let first_token = group.y * TOKENS;
  var rows: array<u32, ROWS>;
  var row_scales: array<vec4f, ROWS>;
  #for r in ROWS
  rows[#r] = row_of(first, #ru, outputs) + expert_row(first_token);
  #end
  var sums: array<vec4f, TOKENS>; // of a token those of the rows
  for (var start = 0u; start < BLOCKS; start += TILE_BLOCKS) {
    let count = min(TILE_BLOCKS, BLOCKS - start);
    workgroupBarrier(); // the inputs before may still be being read
    fill_inputs(first_token, start, count, local);
    workgroupBarrier();
    if (MINIMA > 0u) {
      sum_blocks(count, local);
      workgroupBarrier();
    }
    for (var unit = lane; unit < CODE_PARTS * count; unit += ROW_LANES) {
      let i = unit / CODE_PARTS;
      let part = CODE_PARTS * start + unit;
      let vector = unit % CODE_PARTS * (8u / CODE_PARTS);
      #for r in ROWS
      row_scales[#r] = scales(rows[#r], start + i);
      #end
      #for h in HALF_BLOCKS
      var parts#h = array<vec4f, TOKENS>();
      #for q in QUADS
      #for a in OUTER
      #for b in INNER
      {
        // Asked for each time, that few weights and inputs are in registers; what is read is read once.
        const r = select(#au, #bu, TOKENS_OUTER);
        const t = select(#bu, #au, TOKENS_OUTER);
        let w = quad(code_part(rows[r], part), #hu * 4u + #qu);
        let v = shared_vectors[(t * 8u + #hu * 4u + #qu + vector) * TILE_STRIDE + i];
        if (SCALES_SUMS) {
          parts#h[t][r] = add_dot(parts#h[t][r], w, v);
        } else {
          sums[t][r] = add_dot(sums[t][r], w * row_scales[r][#h], v);
        }
      }
      #end
      #end
      #end
      #for t in TOKENS
      #for r in ROWS
      if (SCALES_SUMS) { sums[#t][#r] += parts#h[#t][#r] * row_scales[#r][#h]; }
      #end
      #end
      #end
      #for t in TOKENS
      #for r in ROWS
      if (MINIMA > 0u) { sums[#t][#r] += row_scales[#r].z * block_sums[#tu * MINIMA * TILE_BLOCKS + i]; }
      if (MINIMA == 2u) { sums[#t][#r] += row_scales[#r].w * block_sums[(#tu * MINIMA + 1u) * TILE_BLOCKS + i]; }
      #end
      #end
    }
  }
  // Now GROUPS invocations a token finish what the groups have summed; what adapters add shares in that and in 1 / rms.
  let token = local / GROUPS;
  let finished = local % GROUPS;
  var total = vec4f();
  #for t in TOKENS
  workgroupBarrier();
  shared_vectors[local] = sums[#t] + lora_rows(min(first_token + #tu, params.tokens - 1u), first, outputs, lane);
  workgroupBarrier();
  if (token == #tu) { total = group_sum(finished); }
  #end
  #for s in TOKEN_QUADS
  if (NORMED) {
    let mean = reduce_sum(squares[#s], local)[token % 4u] / f32(BLOCKS * 32u);
    if (token / 4u == #su) { total *= inverseSqrt(mean + NORM_EPS); }
  }
  #end
  if (token >= TOKENS) { return; }
  let output = (group.x * GROUPS + finished) * OUTPUTS;
  #for o in OUTPUTS
  store(first_token + token, output + #ou, outputs, total[#o], total[(OUTPUTS + #ou) % ROWS]);
  #end
}
