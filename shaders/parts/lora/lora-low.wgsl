// h = A · input of one token, for one linear and one adapter of the token's mix, times the components' weights. `input(i)`
// is the kernel's own, i counting on over the tokens. What B needs goes before h: the rank, and where B starts.
// needs: lora-run, lora-table

// A run of COMPONENTS components: from `start` on, those below `rank`. A starts at `a`, and h goes behind `target_at`; `below`
// is the rank at the lower of the token's two levels.
struct LowRun { token: u32, start: u32, rank: u32, a: u32, target_at: u32, row: LoraRow, below: u32 }

fn store_low(run: LowRun, k: u32, h: f32) { store_component(run.target_at, k, h, run.row, run.below); }

// `work`: counts (linear, adapter of the mix, run of COMPONENTS).
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
