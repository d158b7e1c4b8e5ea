// Four components a workgroup: its invocations take vectors of inputs one after another, which are read in order.
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
