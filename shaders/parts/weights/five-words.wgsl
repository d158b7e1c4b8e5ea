// Scales of a run of eight blocks are five words (slots/scales/super2, super6): of four runs the first words, then the others of
// each. `run` is the matrix's, which has such fours whole.
fn put_run(run: u32, first: u32, others: vec4u) {
  let four = run / 4u * 20u;
  let to = four + 4u + run % 4u * 4u;
  weight_scales[four + run % 4u] = first;
  weight_scales[to] = others.x;
  weight_scales[to + 1u] = others.y;
  weight_scales[to + 2u] = others.z;
  weight_scales[to + 3u] = others.w;
}
