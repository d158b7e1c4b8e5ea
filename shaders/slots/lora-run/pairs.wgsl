// An invocation has up to PAIRS pairs of components, so that what an input costs is paid once for all of them.
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
  // Loops of one, two and all pairs, since branches within them cost small ranks more than their products on lavapipe.
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
