// As lora-low/blocks, four components a workgroup: its invocations take vectors one after another, which are read in order.
// needs: input, lora-half, lora-table, reduce-sum
const COMPONENTS = 4u;

fn lora_low(token: u32, work: u32, local: u32) {
  let runs = params.runs;
  let linear = work / (params.adapters * runs);
  let index = work / runs % params.adapters;
  let row = lora_row(token, index);
  let factors = lora_module(row.adapter, linear);
  let rank = rank_at(factors, row.level_hi);
  let first = work % runs * COMPONENTS;
  let target_at = ((token * params.adapters + index) * NEXT_LINEARS + linear) * params.lowStride;
  if (first == 0u && local == 0u) { store_head(target_at, row.stream, rank, factors.b); }
  if (first >= rank) { return; }
  let a = vec4u(factors.a) + min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(rank - 1u)) * (BLOCKS * 8u);
  var sums = vec4f();
  for (var i = local; i < BLOCKS * 8u; i += WORKGROUP) {
    let v = input(token * BLOCKS * 8u + i);
    sums += vec4f(
      dot(lora_half4(lora[a.x + i]), v), dot(lora_half4(lora[a.y + i]), v),
      dot(lora_half4(lora[a.z + i]), v), dot(lora_half4(lora[a.w + i]), v));
  }
  let total = reduce_sum(sums, local);
  let component = first + local;
  if (local >= COMPONENTS || component >= rank) { return; }
  store_component(target_at, component, total[local] * select(row.weight_hi, row.weight_lo, component < rank_at(factors, row.level_lo)));
}
