// h = A · input of one token, for one linear and one adapter of the token's mix, times the components' weights. An
// invocation has whole components (LANES is 1), up to PAIRS pairs of them, so that what an input costs is paid once for all;
// of those above the token's rank the last row below it is read again. `input(i)` is the kernel's own, i counting on over the
// tokens. What B needs goes before h: the rank, and where B starts.
// needs: block, load-block, lora-half, lora-table
const PAIR_STEP = 2u * WORKGROUP;
const COMPONENTS = PAIRS * PAIR_STEP;

fn half_dot(at: u32, v: Block) -> f32 {
  let sum = lora_half4(lora[at]) * v.a + lora_half4(lora[at + 1u]) * v.b
    + lora_half4(lora[at + 2u]) * v.c + lora_half4(lora[at + 3u]) * v.d
    + lora_half4(lora[at + 4u]) * v.e + lora_half4(lora[at + 5u]) * v.f
    + lora_half4(lora[at + 6u]) * v.g + lora_half4(lora[at + 7u]) * v.h;
  return dot(sum, vec4f(1.0));
}

fn pair_rows(factors: LoraModule, k: u32, rank: u32) -> vec2u {
  return vec2u(factors.a) + min(vec2u(k, k + 1u), vec2u(rank - 1u)) * (BLOCKS * 8u);
}

fn pair_dot(rows: vec2u, block: u32, v: Block) -> vec2f {
  return vec2f(half_dot(rows.x + block * 8u, v), half_dot(rows.y + block * 8u, v));
}

fn store_pair(target_at: u32, k: u32, sums: vec2f, row: LoraRow, below: u32, rank: u32) {
  if (k < rank) { store_component(target_at, k, sums.x * select(row.weight_hi, row.weight_lo, k < below)); }
  if (k + 1u < rank) { store_component(target_at, k + 1u, sums.y * select(row.weight_hi, row.weight_lo, k + 1u < below)); }
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
  let first = start + 2u * local;
  let target_at = ((token * params.adapters + index) * NEXT_LINEARS + linear) * params.lowStride;
  if (first == 0u) { store_head(target_at, row.stream, rank, factors.b); }
  if (start >= rank) { return; }
  let below = rank_at(factors, row.level_lo);
#for p in PAIRS
  let rows#p = pair_rows(factors, first + #pu * PAIR_STEP, rank);
  var sums#p = vec2f();
#end
  // Loops of one, two and all pairs, since branches within them cost small ranks more than their products on lavapipe.
  if (rank - start <= PAIR_STEP) {
    for (var block = 0u; block < BLOCKS; block++) {
      sums0 += pair_dot(rows0, block, load_block((token * BLOCKS + block) * 8u, local));
    }
  } else if (rank - start <= 2u * PAIR_STEP) {
    for (var block = 0u; block < BLOCKS; block++) {
      let v = load_block((token * BLOCKS + block) * 8u, local);
      sums0 += pair_dot(rows0, block, v);
      sums1 += pair_dot(rows1, block, v);
    }
  } else {
    for (var block = 0u; block < BLOCKS; block++) {
      let v = load_block((token * BLOCKS + block) * 8u, local);
#for p in PAIRS
      sums#p += pair_dot(rows#p, block, v);
#end
    }
  }
#for p in PAIRS
  store_pair(target_at, first + #pu * PAIR_STEP, sums#p, row, below, rank);
#end
}
