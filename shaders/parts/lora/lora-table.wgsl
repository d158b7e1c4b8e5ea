// The adapter arena `lora`, in units of two words; src/kernels/lora-layout.ts says how it is laid out.
// One row a token and adapter of its mix: what the token takes of the adapter.
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
  // The level of a token being decoded is the GPU's own: the row then only scales it.
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

// A linear's factors: where A `[rank, in]` and B transposed `[rank, out]` start, and its rank at each level.
struct LoraModule { a: u32, b: u32, ranks: vec4u }

fn lora_module(adapter: u32, linear: u32) -> LoraModule {
  let at = params.directory + (adapter * LORA_LINEARS + FIRST_LINEAR + linear) * 4u;
  let ranks = lora[at + 1u];
  return LoraModule(lora[at].x, lora[at].y, vec4u(ranks, lora[at + 2u]));
}

fn rank_at(factors: LoraModule, level: u32) -> u32 {
  return (factors.ranks[level / 2u] >> (16u * (level & 1u))) & 0xffffu;
}

// Where `low_next` has what a linear's B needs: the rank, where B starts, then h.
fn low_next_at(token: u32, index: u32, linear: u32) -> u32 {
  return ((token * params.adapters + index) * NEXT_LINEARS + linear) * params.lowStride;
}

fn store_head(at: u32, stream: u32, rank: u32, b: u32) {
  low_next[at] = rank;
  low_next[at + 1u] = b;
  atomicAdd(&counters[2u * stream], rank);
  atomicAdd(&counters[2u * stream + 1u], 1u);
}

// Component k of h, times what the token takes of it; `below` is the rank at the lower of its two levels.
fn store_component(at: u32, k: u32, h: f32, row: LoraRow, below: u32) {
  low_next[at + 2u + k] = bitcast<u32>(h * select(row.weight_hi, row.weight_lo, k < below));
}
