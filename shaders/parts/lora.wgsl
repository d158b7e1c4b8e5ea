#part lora-half
// Four halves of the adapter arena.
fn lora_half4(packed: vec2u) -> vec4f { return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y)); }

#part lora-table
// The adapter arena `lora`, in units of two words; src/kernels/lora-layout.ts has its layout.
// A row of a token and an adapter of its mix: the two rank levels that the token uses, and their weights.
struct LoraRow { adapter: u32, stream: u32, level_lo: u32, level_hi: u32, weight_lo: f32, weight_hi: f32 }

fn unpack_row(levels: u32, weights: vec2u) -> LoraRow {
  return LoraRow(
    levels & 0xffffu, 0u, (levels >> 16u) & 255u, levels >> 24u, bitcast<f32>(weights.x), bitcast<f32>(weights.y));
}

fn lora_row(token: u32, index: u32) -> LoraRow {
  let at = LORA_ROWS + 2u * (token * params.adapters + index);
  let head = lora[at];
  var row = unpack_row(head.x, lora[at + 1u]);
  row.stream = head.y & 255u;
  // The GPU chooses the rank levels of a token being decoded: the row only scales their weights.
  if ((head.y & 256u) != 0u) {
    let state = 2u * row.stream;
    let own = unpack_row(lora[state].x, lora[state + 1u]);
    row.level_lo = own.level_lo;
    row.level_hi = own.level_hi;
    row.weight_hi = own.weight_hi * row.weight_lo;
    row.weight_lo = own.weight_lo * row.weight_lo;
  }
  return row;
}

// A linear's factors: where A `[rank, in]` and B transposed `[rank, out]` start, and the rank at each rank level.
struct LoraModule { a: u32, b: u32, ranks: vec4u }

fn lora_module(adapter: u32, linear: u32) -> LoraModule {
  let at = params.directory + (adapter * LORA_LINEARS + FIRST_LINEAR + linear) * 4u;
  let ranks = lora[at + 1u];
  return LoraModule(lora[at].x, lora[at].y, vec4u(ranks, lora[at + 2u]));
}

fn rank_at(factors: LoraModule, level: u32) -> u32 {
  return (factors.ranks[level / 2u] >> (16u * (level & 1u))) & 0xffffu;
}

// Index of a linear's entry in `low_next`: the rank, where B starts, then h.
fn low_next_at(token: u32, index: u32, linear: u32) -> u32 {
  return ((token * params.adapters + index) * NEXT_LINEARS + linear) * params.lowStride;
}

fn store_head(at: u32, stream: u32, rank: u32, b: u32) {
  low_next[at] = rank;
  low_next[at + 1u] = b;
  atomicAdd(&counters[2u * stream], rank);
  atomicAdd(&counters[2u * stream + 1u], 1u);
}

// Stores component k of h times its weight; `below` is the rank at the lower of the token's two rank levels.
fn store_component(at: u32, k: u32, h: f32, row: LoraRow, below: u32) {
  low_next[at + 2u + k] = bitcast<u32>(h * select(row.weight_hi, row.weight_lo, k < below));
}

#part lora-low
// h = A · input of one token, for one linear and one adapter of the token's mix, times the components' weights. The kernel
// defines `input(i)`; i counts across tokens. The rank, and where B starts, are stored before h.
// needs: lora-run, lora-table

// A run of COMPONENTS components from `start` on, below `rank`. A starts at `a`; h is stored after `target_at`; `below` is the
// rank at the lower of the token's two rank levels.
struct LowRun { token: u32, start: u32, rank: u32, a: u32, target_at: u32, row: LoraRow, below: u32 }

fn store_low(run: LowRun, k: u32, h: f32) { store_component(run.target_at, k, h, run.row, run.below); }

// `work` enumerates (linear, adapter of the mix, run of COMPONENTS).
fn lora_low(token: u32, work: u32, local: u32) {
  let linear = work / (params.adapters * params.runs);
  let index = work / params.runs % params.adapters;
  let row = lora_row(token, index);
  let factors = lora_module(row.adapter, linear);
  let rank = rank_at(factors, row.level_hi);
  let start = work % params.runs * COMPONENTS;
  let target_at = low_next_at(token, index, linear);
  if (start == 0u && local == 0u) { store_head(target_at, row.stream, rank, factors.b); }
  if (start >= rank) { return; }
  lora_run(LowRun(token, start, rank, factors.a, target_at, row, rank_at(factors, row.level_lo)), local);
}

#part lora-pair
// Two components of h, which one invocation computes from whole blocks of inputs.
// needs: block, lora-half, lora-low
const PAIR_STEP = 2u * WORKGROUP;

fn half_dot(at: u32, v: Block) -> f32 {
  let sum = lora_half4(lora[at]) * v.a + lora_half4(lora[at + 1u]) * v.b
    + lora_half4(lora[at + 2u]) * v.c + lora_half4(lora[at + 3u]) * v.d
    + lora_half4(lora[at + 4u]) * v.e + lora_half4(lora[at + 5u]) * v.f
    + lora_half4(lora[at + 6u]) * v.g + lora_half4(lora[at + 7u]) * v.h;
  return dot(sum, vec4f(1.0));
}

// Components above the token's rank read the last row below it again.
fn pair_rows(run: LowRun, k: u32) -> vec2u {
  return vec2u(run.a) + min(vec2u(k, k + 1u), vec2u(run.rank - 1u)) * (BLOCKS * 8u);
}

fn pair_dot(rows: vec2u, block: u32, v: Block) -> vec2f {
  return vec2f(half_dot(rows.x + block * 8u, v), half_dot(rows.y + block * 8u, v));
}

fn store_pair(run: LowRun, k: u32, sums: vec2f) {
  if (k < run.rank) { store_low(run, k, sums.x); }
  if (k + 1u < run.rank) { store_low(run, k + 1u, sums.y); }
}

#variant lora-run/one-pair
// An invocation computes one pair of components. For devices that do not skip branches but mask lanes, such as SwiftShader:
// there, workgroups with other work of the same kernel also pay for one iteration of each loop here.
// needs: load-block, lora-pair
const COMPONENTS = PAIR_STEP;

fn lora_run(run: LowRun, local: u32) {
  let k = run.start + 2u * local;
  let rows = pair_rows(run, k);
  var sums = vec2f();
  for (var block = 0u; block < BLOCKS; block++) {
    sums += pair_dot(rows, block, load_block((run.token * BLOCKS + block) * 8u, local));
  }
  store_pair(run, k, sums);
}

#variant lora-run/pairs
// An invocation computes up to PAIRS pairs of components and loads each input once for all of them.
// needs: load-block, lora-pair
const COMPONENTS = PAIRS * PAIR_STEP;

fn lora_run(run: LowRun, local: u32) {
  let first = run.start + 2u * local;
  let ranks = run.rank - run.start;
  let at = run.token * BLOCKS * 8u;
#for p in PAIRS
  let rows#p = pair_rows(run, first + #pu * PAIR_STEP);
  var sums#p = vec2f();
#end
  // Separate loops of one, two and all pairs: on lavapipe, branches inside a loop cost small ranks more than the products.
  if (ranks <= PAIR_STEP) {
    for (var block = 0u; block < BLOCKS; block++) {
      sums0 += pair_dot(rows0, block, load_block(at + block * 8u, local));
    }
  } else if (ranks <= 2u * PAIR_STEP) {
    for (var block = 0u; block < BLOCKS; block++) {
      let v = load_block(at + block * 8u, local);
      sums0 += pair_dot(rows0, block, v);
      sums1 += pair_dot(rows1, block, v);
    }
  } else {
    for (var block = 0u; block < BLOCKS; block++) {
      let v = load_block(at + block * 8u, local);
#for p in PAIRS
      sums#p += pair_dot(rows#p, block, v);
#end
    }
  }
#for p in PAIRS
  store_pair(run, first + #pu * PAIR_STEP, sums#p);
#end
}

#variant lora-run/vectors
// Four components a workgroup: neighbouring invocations read neighbouring vectors of inputs.
// needs: input, lora-half, lora-low, reduce-sum
const COMPONENTS = 4u;

fn lora_run(run: LowRun, local: u32) {
  let rows = min(vec4u(run.start) + vec4u(0u, 1u, 2u, 3u), vec4u(run.rank - 1u));
  let a = vec4u(run.a) + rows * (BLOCKS * 8u);
  var sums = vec4f();
  for (var i = local; i < BLOCKS * 8u; i += WORKGROUP) {
    let v = input(run.token * BLOCKS * 8u + i);
    sums += vec4f(
      dot(lora_half4(lora[a.x + i]), v), dot(lora_half4(lora[a.y + i]), v),
      dot(lora_half4(lora[a.z + i]), v), dot(lora_half4(lora[a.w + i]), v));
  }
  let total = reduce_sum(sums, local);
  let k = run.start + local;
  if (local < COMPONENTS && k < run.rank) { store_low(run, k, total[local]); }
}

#part lora-linear
// Linears whose outputs are consecutive rows of one buffer.
struct LoraLinear { start: u32, width: u32 }

fn lora_linear(index: u32) -> LoraLinear {
  if (index == 3u) { return LoraLinear(LORA_START_3, LORA_END - LORA_START_3); }
  if (index == 2u) { return LoraLinear(LORA_START_2, LORA_START_3 - LORA_START_2); }
  if (index == 1u) { return LoraLinear(LORA_START_1, LORA_START_2 - LORA_START_1); }
  return LoraLinear(0u, LORA_START_1);
}

// Index of the linear that an output row belongs to.
fn lora_linear_of(row: u32) -> u32 {
  return select(select(select(0u, 1u, row >= LORA_START_1), 2u, row >= LORA_START_2), 3u, row >= LORA_START_3);
}

// Index in `low` of a token, an adapter of its mix and a linear: the rank, where B starts, then h = A · input.
fn low_at(token: u32, index: u32, linear: u32) -> u32 {
  return ((token * params.adapters + index) * NUM_LINEARS + linear) * params.lowStride;
}

fn low_component(at: u32, k: u32) -> f32 { return bitcast<f32>(low[at + 2u + k]); }

// Components k and k + 1 of h; k is even.
fn low_pair(at: u32, k: u32) -> vec2f { return vec2f(low_component(at, k), low_component(at, k + 1u)); }

#variant lora-add/none
// No adapters.
fn lora_add(token: u32, row: u32, lane: u32, lanes: u32) -> vec4f { return vec4f(); }

#variant lora-add/low
// B · h of one token for four outputs, summed over the adapters of its mix. `lanes` invocations share the components; this
// is the `lane`th.
// needs: lora-half, lora-linear
fn lora_add(token: u32, row: u32, lane: u32, lanes: u32) -> vec4f {
  let own = lora_linear_of(row);
  let linear = lora_linear(own);
  var sum = vec4f();
  for (var index = 0u; index < params.adapters; index++) {
    let at = low_at(token, index, own);
    let b = low[at + 1u] + (row - linear.start) / 4u;
    for (var k = lane; k < low[at]; k += lanes) {
      sum += low_component(at, k) * lora_half4(lora[b + k * (linear.width / 4u)]);
    }
  }
  return sum;
}

#variant low-columns/direct
// Components k and k + 1 (k is even) of h for a tile of eight tokens, `next` units apart.
// needs: lora-linear, lora-tile
fn low_columns(at: u32, next: u32, k: u32, local: u32) -> Columns {
  let a = low_pair(at, k);
  let b = low_pair(at + next, k);
  let c = low_pair(at + 2u * next, k);
  let d = low_pair(at + 3u * next, k);
  let e = low_pair(at + 4u * next, k);
  let f = low_pair(at + 5u * next, k);
  let g = low_pair(at + 6u * next, k);
  let h = low_pair(at + 7u * next, k);
  return Columns(
    Column(vec4f(a.x, b.x, c.x, d.x), vec4f(e.x, f.x, g.x, h.x)),
    Column(vec4f(a.y, b.y, c.y, d.y), vec4f(e.y, f.y, g.y, h.y)));
}

#variant low-columns/broadcast4
// Like direct, for subgroups of exactly 4: each invocation loads the components of two tokens and broadcasts them.
// needs: lora-linear, lora-tile
fn four_tokens(h: f32) -> vec4f {
  return vec4f(subgroupBroadcast(h, 0u), subgroupBroadcast(h, 1u), subgroupBroadcast(h, 2u), subgroupBroadcast(h, 3u));
}

fn low_columns(at: u32, next: u32, k: u32, local: u32) -> Columns {
  let h = low_pair(at + (local & 3u) * next, k);
  let g = low_pair(at + (4u + (local & 3u)) * next, k);
  return Columns(Column(four_tokens(h.x), four_tokens(g.x)), Column(four_tokens(h.y), four_tokens(g.y)));
}

#variant low-columns/broadcast8
// Like direct, for subgroups of exactly 8: each invocation loads the components of one token and broadcasts them.
// needs: lora-linear, lora-tile
fn all_tokens(h: f32) -> Column {
  return Column(
    vec4f(subgroupBroadcast(h, 0u), subgroupBroadcast(h, 1u), subgroupBroadcast(h, 2u), subgroupBroadcast(h, 3u)),
    vec4f(subgroupBroadcast(h, 4u), subgroupBroadcast(h, 5u), subgroupBroadcast(h, 6u), subgroupBroadcast(h, 7u)));
}

fn low_columns(at: u32, next: u32, k: u32, local: u32) -> Columns {
  let h = low_pair(at + (local & 7u) * next, k);
  return Columns(all_tokens(h.x), all_tokens(h.y));
}

#variant lora-tile/none
// No adapters.
fn lora_tile(token: u32, row: u32, ends: vec2u, local: u32) -> Tile { return Tile(); }

#variant lora-tile/columns
// B · h of a tile of eight tokens for eight outputs, summed over the adapters of their mix. Columns of B are read up to
// the highest rank in the tile; a token uses none above its own rank.
// needs: lora-half, lora-linear, low-columns

// A component of h of the tile's first four tokens and of the other four; and two components, the first one even.
struct Column { first: vec4f, second: vec4f }
struct Columns { even: Column, odd: Column }

fn add_column(sums: Tile, w: mat2x4f, h: Column) -> Tile {
  return Tile(
    sums.a + h.first.x * w, sums.b + h.first.y * w, sums.c + h.first.z * w, sums.d + h.first.w * w,
    sums.e + h.second.x * w, sums.f + h.second.y * w, sums.g + h.second.z * w, sums.h + h.second.w * w);
}

fn either(before: mat2x4f, after: mat2x4f, is_after: bool) -> mat2x4f {
  return mat2x4f(select(before[0], after[0], is_after), select(before[1], after[1], is_after));
}

// Adds a column only to the tokens that use it.
fn add_column_where(sums: Tile, w: mat2x4f, h: Column, first: vec4<bool>, second: vec4<bool>) -> Tile {
  let added = add_column(sums, w, h);
  return Tile(
    either(sums.a, added.a, first.x), either(sums.b, added.b, first.y),
    either(sums.c, added.c, first.z), either(sums.d, added.d, first.w),
    either(sums.e, added.e, second.x), either(sums.f, added.f, second.y),
    either(sums.g, added.g, second.z), either(sums.h, added.h, second.w));
}

// Eight outputs of a column of B; zeros if the outputs belong to another linear.
fn lora_column(at: u32, is_own: bool) -> mat2x4f {
  return mat2x4f(
    select(vec4f(), lora_half4(lora[at]), is_own), select(vec4f(), lora_half4(lora[at + 1u]), is_own));
}

// `row`: the first output. `ends`: the first outputs of the workgroup's first and last invocation, so that all invocations
// reach the same broadcasts.
fn lora_tile(token: u32, row: u32, ends: vec2u, local: u32) -> Tile {
  let next = NUM_LINEARS * params.adapters * params.lowStride;
  var sums = Tile();
  for (var i = 0u; i < NUM_LINEARS; i++) {
    let linear = lora_linear(i);
    if (ends.y < linear.start || ends.x >= linear.start + linear.width) { continue; }
    let is_own = row >= linear.start && row < linear.start + linear.width;
    let own_row = select(0u, (row - linear.start) / 4u, is_own);
    let step = linear.width / 4u;
    for (var index = 0u; index < params.adapters; index++) {
      let at = low_at(token, index, i);
      let b = low[at + 1u] + own_row;
      let first = vec4u(low[at], low[at + next], low[at + 2u * next], low[at + 3u * next]);
      let second =
        vec4u(low[at + 4u * next], low[at + 5u * next], low[at + 6u * next], low[at + 7u * next]);
      let lowest = min(first, second);
      let highest = max(first, second);
      let least = min(min(lowest.x, lowest.y), min(lowest.z, lowest.w));
      let rank = max(max(highest.x, highest.y), max(highest.z, highest.w));
      // Four columns at a time while all tokens use them: the sums are spilled between steps.
      let whole = least & ~3u;
      for (var k = 0u; k < whole; k += 4u) {
        let h = low_columns(at, next, k, local);
        let g = low_columns(at, next, k + 2u, local);
        sums = add_column(sums, lora_column(b + k * step, is_own), h.even);
        sums = add_column(sums, lora_column(b + (k + 1u) * step, is_own), h.odd);
        sums = add_column(sums, lora_column(b + (k + 2u) * step, is_own), g.even);
        sums = add_column(sums, lora_column(b + (k + 3u) * step, is_own), g.odd);
      }
      for (var k = whole; k < rank; k += 2u) {
        let h = low_columns(at, next, k, local);
        let w = lora_column(b + k * step, is_own);
        sums = add_column_where(sums, w, h.even, vec4u(k) < first, vec4u(k) < second);
        let v = lora_column(b + min(k + 1u, rank - 1u) * step, is_own);
        sums = add_column_where(sums, v, h.odd, vec4u(k + 1u) < first, vec4u(k + 1u) < second);
      }
    }
  }
  return sums;
}

#variant tile-lora/none
// No adapters.
fn add_lora(first_row: u32, first_token: u32, local: u32) {}

#variant tile-lora/columns
// B · h of a tile's tokens, for every adapter of their mix, as further columns of the tile's product: B as weights, h as
// inputs. Columns of B are read up to the highest rank in the tile; a token uses none above its own rank.
// needs: lora-half, lora-linear, tile-product
fn highest_rank(first_token: u32, index: u32, linear: u32) -> u32 {
  var rank = 0u;
  for (var i = 0u; i < TILE_TOKENS && first_token + i < params.tokens; i++) {
    rank = max(rank, low[low_at(first_token + i, index, linear)]);
  }
  return rank;
}

// Component k of h, or 0 if it is above the token's rank.
fn low_or_zero(at: u32, k: u32, rank: u32) -> f32 {
  if (k >= rank) { return 0.0; }
  return low_component(at, k);
}

fn low_components(token: u32, index: u32, linear: u32, k: u32) -> vec4f {
  if (token >= params.tokens) { return vec4f(); }
  let at = low_at(token, index, linear);
  let rank = low[at];
  return vec4f(
    low_or_zero(at, k, rank), low_or_zero(at, k + 1u, rank), low_or_zero(at, k + 2u, rank), low_or_zero(at, k + 3u, rank));
}

fn fill_low(first_token: u32, index: u32, linear: u32, first: u32, worker: u32) {
  for (var i = worker; i < 8u * TOKEN_GROUPS; i += WORKGROUP) {
    let token = first_token + i / 8u * 4u;
    let k = first + i % 8u * 4u;
    put_inputs(i / 8u, i % 8u, mat4x4f(
      low_components(token, index, linear, k), low_components(token + 1u, index, linear, k),
      low_components(token + 2u, index, linear, k), low_components(token + 3u, index, linear, k)));
  }
}

// Four outputs of component k of B, or zeros if it is above the rank.
fn lora_column(at: u32, k: u32, rank: u32) -> vec4f {
  if (k >= rank) { return vec4f(); }
  return lora_half4(lora[at]);
}

// `b`: where the linear's B `[rank, width]` starts. Rows of another linear get zeros.
fn fill_columns(first_row: u32, linear: LoraLinear, b: u32, first: u32, rank: u32, worker: u32) {
  for (var i = worker; i < 2u * TILE_ROWS; i += WORKGROUP) {
    let row4 = i % (TILE_ROWS / 4u);
    let column4 = i / (TILE_ROWS / 4u);
    let row = first_row + 4u * row4;
    let is_own = row >= linear.start && row < linear.start + linear.width;
    let k = first + 4u * column4;
    let taken = select(0u, rank, is_own);
    let step = linear.width / 4u;
    let at = b + (row - linear.start) / 4u + k * step;
    let columns = mat4x4f(
      lora_column(at, k, taken), lora_column(at + step, k + 1u, taken),
      lora_column(at + 2u * step, k + 2u, taken), lora_column(at + 3u * step, k + 3u, taken));
    let rows = transpose(columns);
    put_weights(4u * row4, column4, rows[0]);
    put_weights(4u * row4 + 1u, column4, rows[1]);
    put_weights(4u * row4 + 2u, column4, rows[2]);
    put_weights(4u * row4 + 3u, column4, rows[3]);
  }
}

fn add_lora(first_row: u32, first_token: u32, local: u32) {
  for (var i = 0u; i < NUM_LINEARS; i++) {
    let linear = lora_linear(i);
    if (first_row + TILE_ROWS <= linear.start || first_row >= linear.start + linear.width) { continue; }
    for (var index = 0u; index < params.adapters; index++) {
      let rank = highest_rank(first_token, index, i);
      let b = low[low_at(first_token, index, i) + 1u];
      for (var first = 0u; first < rank; first += 32u) {
        workgroupBarrier(); // other invocations may still read the previous tiles
        fill_columns(first_row, linear, b, first, rank, local);
        fill_low(first_token, index, i, first, WORKGROUP - 1u - local);
        workgroupBarrier();
        add_products(first_token, local);
      }
    }
  }
}
