// An invocation has one pair of components. For devices that jump over no branch, but run its code with the lanes masked out,
// as SwiftShader does: workgroups of the same kernel that do other work pay for a turn of each loop here.
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
