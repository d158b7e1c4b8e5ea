// Causal attention over the paged cache; scores are kept for one page at a time. One invocation a (token, split, GROUP heads
// that share their keys and values); a split is a run of pages, each in a form of its own. Leaves, per head, the
// unnormalised output and (maximum, sum) of the softmax for attention-merge.
const ROW4 = (NUM_HEADS + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const NUM_GROUPS = NUM_HEADS / GROUP;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.tokens * params.splits * NUM_GROUPS) { return; }
  let head = id.x % NUM_GROUPS * GROUP;
  let split = (id.x / NUM_GROUPS) % params.splits;
  let token = id.x / (NUM_GROUPS * params.splits);
  let entry = batch_table[token];
  let kv_head = head / (NUM_HEADS / NUM_KV_HEADS);
  let first_page = split * params.pagesPerSplit;
  let end_page = min(first_page + params.pagesPerSplit, entry.w + 1u);

  var softmax: array<Softmax, GROUP>;
  for (var g = 0u; g < GROUP; g++) { softmax[g] = NO_PAGE; }
  var output: array<vec4f, OUTPUT4>;
  for (var p = first_page; p < end_page; p++) {
    attend_page(pages[entry.z + p], kv_head, token * ROW4 + head * HEAD_DIM4, entry.y, &softmax, &output);
  }
  for (var g = 0u; g < GROUP; g++) {
    let base = ((token * params.splits + split) * NUM_HEADS + head + g) * (HEAD_DIM4 + 1u);
    for (var i = 0u; i < HEAD_DIM4; i++) { partial_outputs[base + i] = output[g * HEAD_DIM4 + i]; }
    partial_outputs[base + HEAD_DIM4] = vec4f(softmax[g].maximum, softmax[g].sum, 0.0, 0.0);
  }
}
