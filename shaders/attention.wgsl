// Causal attention over the paged cache; scores are kept for one page at a time. One invocation a (token, split, head); a
// split is a run of pages, each in a form of its own. Leaves, per invocation, the unnormalised output and (maximum, sum)
// of the softmax for attention-merge.
const ROW4 = (NUM_HEADS + 2u * NUM_KV_HEADS) * HEAD_DIM4;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.tokens * params.splits * NUM_HEADS) { return; }
  let head = id.x % NUM_HEADS;
  let split = (id.x / NUM_HEADS) % params.splits;
  let token = id.x / (NUM_HEADS * params.splits);
  let entry = batch_table[token];
  let kv_head = head / (NUM_HEADS / NUM_KV_HEADS);
  let first_page = split * params.pagesPerSplit;
  let end_page = min(first_page + params.pagesPerSplit, entry.w + 1u);

  var softmax = Softmax(-1e30, 0.0);
  var output: array<vec4f, HEAD_DIM4>;
  for (var p = first_page; p < end_page; p++) {
    softmax = attend_page(pages[entry.z + p], kv_head, token * ROW4 + head * HEAD_DIM4, entry.y, softmax, &output);
  }
  let base = id.x * (HEAD_DIM4 + 1u);
  for (var i = 0u; i < HEAD_DIM4; i++) { partial_outputs[base + i] = output[i]; }
  partial_outputs[base + HEAD_DIM4] = vec4f(softmax.maximum, softmax.sum, 0.0, 0.0);
}
