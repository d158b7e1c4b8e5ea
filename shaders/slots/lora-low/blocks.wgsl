// h = A · input of one token, for one linear and one adapter of the token's mix, times the components' weights. An
// invocation has PAIRS pairs of components, so that what an input costs is paid once for all of them; those above the token's
// rank are not read. `input(i)` is the kernel's own, i counting on over the tokens. What B needs goes before h: the rank, and
// where B starts.
// needs: block, load-block, lora-half, lora-table, reduce-sum
const PAIR_STEP = 2u * (WORKGROUP / LANES);
const COMPONENTS = PAIRS * PAIR_STEP;

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
  let start = (work % runs) * COMPONENTS;
  let first = start + 2u * (local / LANES);
  let target_at = ((token * params.adapters + index) * NEXT_LINEARS + linear) * params.lowStride;
  if (first == 0u && lane_of(local) == 0u) { store_head(target_at, row.stream, rank, factors.b); }
  if (start >= rank) { return; }
  let below = rank_at(factors, row.level_lo);
#for p in PAIRS
  let rows#p = vec2u(factors.a) + min(vec2u(first, first + 1u) + #pu * PAIR_STEP, vec2u(rank - 1u)) * (BLOCKS * 8u);
  var sums#p = vec2f();
#end
  for (var block = lane_of(local); block < BLOCKS; block += LANES) {
    let v = load_block((token * BLOCKS + block) * 8u, local);
#for p in PAIRS
    if (start + #pu * PAIR_STEP < rank) { sums#p += vec2f(half_dot(rows#p.x + block * 8u, v), half_dot(rows#p.y + block * 8u, v)); }
#end
  }
#for p in PAIRS
  let total#p = reduce_sum(vec4f(sums#p, 0.0, 0.0), local).xy;
  let k#p = first + #pu * PAIR_STEP;
  if (lane_of(local) == 0u) {
    if (k#p < rank) { store_component(target_at, k#p, total#p.x * select(row.weight_hi, row.weight_lo, k#p < below)); }
    if (k#p + 1u < rank) { store_component(target_at, k#p + 1u, total#p.y * select(row.weight_hi, row.weight_lo, k#p + 1u < below)); }
  }
#end
}
