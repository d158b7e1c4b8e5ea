// h = A · input of one token, for one linear and one adapter of the token's mix, times the components' weights; two
// components an invocation. Rows of A above the token's rank are not read. `input(i)` is the kernel's own, i counting
// on over the tokens. What B needs goes before h: the rank, and where B starts.
// needs: block, load-block, lora-half, lora-table, reduce-sum
const COMPONENTS = 2u * (WORKGROUP / LANES);

fn half_dot(at: u32, v: Block) -> f32 {
  let sum = lora_half4(lora[at]) * v.a + lora_half4(lora[at + 1u]) * v.b
    + lora_half4(lora[at + 2u]) * v.c + lora_half4(lora[at + 3u]) * v.d
    + lora_half4(lora[at + 4u]) * v.e + lora_half4(lora[at + 5u]) * v.f
    + lora_half4(lora[at + 6u]) * v.g + lora_half4(lora[at + 7u]) * v.h;
  return dot(sum, vec4f(1.0));
}

// `work`: counts (linear, adapter of the mix, run of COMPONENTS).
fn lora_low(token: u32, work: u32, local: u32) {
  let runs = params.runs;
  let linear = work / (params.adapters * runs);
  let index = work / runs % params.adapters;
  let row = lora_row(token, index);
  let factors = lora_module(row.adapter, linear);
  let rank = rank_at(factors, row.level_hi);
  let first = (work % runs) * COMPONENTS + 2u * (local / LANES);
  let target_at = ((token * params.adapters + index) * NEXT_LINEARS + linear) * params.lowStride;
  if (first == 0u && lane_of(local) == 0u) { store_head(target_at, row.stream, rank, factors.b); }
  if ((work % runs) * COMPONENTS >= rank) { return; }
  let components = min(vec2u(first, first + 1u), vec2u(rank - 1u));
  let rows = vec2u(factors.a) + components * (BLOCKS * 8u);
  var sums = vec2f();
  for (var block = lane_of(local); block < BLOCKS; block += LANES) {
    let v = load_block((token * BLOCKS + block) * 8u, local);
    sums += vec2f(half_dot(rows.x + block * 8u, v), half_dot(rows.y + block * 8u, v));
  }
  let total = reduce_sum(vec4f(sums, 0.0, 0.0), local).xy;
  if (lane_of(local) != 0u || first >= rank) { return; }
  let below = vec2u(first, first + 1u) < vec2u(rank_at(factors, row.level_lo));
  let h = total * select(vec2f(row.weight_hi), vec2f(row.weight_lo), below);
  store_component(target_at, first, h.x);
  if (first + 1u < rank) { store_component(target_at, first + 1u, h.y); }
}
