// Few tokens on a GPU: y[t, row] = weight[row] · x[t]. ROW_LANES invocations share the columns of ROWS rows; a workgroup has
// several such groups. It first copies the inputs to its memory, TILE_BLOCKS blocks at a time, so that they are read in order,
// and once for all of its rows.
//   TOKENS      a weight is unpacked once for all of them.
//   NORMED      x is RMS-normed: the dot product with x · norm_weight is multiplied by 1 / rms(x) at the end.
//   GATED       the second half of the rows is `up`: y = activation(gate) · up. A group has OUTPUTS rows of each.
//   ACCUMULATE  the product is added to y (the residual).
// needs: activation, bias, block, codes, decode-sums, expert, input, lora-add, reduce-sum, rides, scales
const GROUPS = WORKGROUP / ROW_LANES;
const CODE_SCALE = vec4f(1.0) / CODE_STEP;
// `shared_vectors` holds inputs times CODE_STEP, `[tokens][vectors of a block][blocks, TILE_STRIDE]`; later sums.
// `[tokens][minima of a block][blocks]`.
var<workgroup> block_sums: array<f32, max(TOKENS * MINIMA * TILE_BLOCKS, 1u)>;
// Sums of an invocation's squares, four tokens a vector.
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

// The `i`th row of a group that begins with output `first`.
fn row_of(first: u32, i: u32, outputs: u32) -> u32 {
  return min(first + i % OUTPUTS, outputs - 1u) + select(0u, outputs, i >= OUTPUTS);
}

// OUTPUTS of four outputs, from the `i`th on.
fn outputs_from(four: vec4f, i: u32) -> vec4f {
  let two = select(four, four.zwzw, (i & 2u) != 0u);
  return select(two, two.yyww, (i & 1u) != 0u);
}

// B · h of the adapters for the group's rows.
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

// The token and the group of rows whose sums an invocation finishes; it has nothing to do if the token is TOKENS or more.
struct Finisher { token: u32, group: u32 }

fn inverse_rms(squared: f32) -> f32 { return inverseSqrt(squared / f32(BLOCKS * 32u) + NORM_EPS); }

// `local`: the invocation's place in its workgroup.
fn compute(group: vec3u, local: u32) {
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
  var sums: array<vec4f, TOKENS>; // each token's sums of the rows
  var start = 0u;
  loop {
    let count = min(TILE_BLOCKS, BLOCKS - start);
    take_inputs(first_token, start, count, local);
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
        // Loaded in each iteration, so that few weights and inputs are in registers; compilers load each value once.
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
    start += TILE_BLOCKS;
    if (BLOCKS <= TILE_BLOCKS || start >= BLOCKS) { break; }
  }
  // The sums, and the factor 1 / rms, include the adapters' part.
  #for t in TOKENS
  sums[#t] += lora_rows(min(first_token + #tu, params.tokens - 1u), first, outputs, lane);
  #end
  let total = finished_sums(sums, local);
  let finishes = finisher(local);
  if (finishes.token >= TOKENS) { return; }
  let output = (group.x * GROUPS + finishes.group) * OUTPUTS;
  #for o in OUTPUTS
  store(first_token + finishes.token, output + #ou, outputs, total[#o], total[(OUTPUTS + #ou) % ROWS]);
  #end
}
