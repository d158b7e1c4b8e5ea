// Causal attention over the paged KV cache, one page of scores at a time. One invocation a (token, split, GROUP heads that
// share keys and values); a split is a run of pages in any forms. Writes, for each head, the unnormalized output and
// (maximum, sum) of the softmax for attention-merge.
// needs: page-attention, window
const ROW4 = (FIRST_KEY + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const NUM_GROUPS = NUM_HEADS / GROUP;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.tokens * params.splits * NUM_GROUPS) { return; }
  let head = id.x % NUM_GROUPS * GROUP;
  let split = (id.x / NUM_GROUPS) % params.splits;
  let token = id.x / (NUM_GROUPS * params.splits);
  let entry = batch_table[token];
  let kv_head = head / (NUM_HEADS / NUM_KV_HEADS);
  let first_page = first_page_of(entry.y) + split * params.pagesPerSplit;
  let end_page = min(first_page + params.pagesPerSplit, entry.w + 1u);

  var heads = no_page();
  for (var p = first_page; p < end_page; p++) {
    attend_page(page_of_head(pages[entry.z + p], kv_head), kv_head, token * ROW4 + head * HEAD_DIM4, entry.y, &heads);
  }
#for g in GROUP
  let base#g = ((token * params.splits + split) * NUM_HEADS + head + #g) * (HEAD_DIM4 + 1u);
  partial_outputs[base#g + HEAD_DIM4] = vec4f(heads.maximum#g, heads.sum#g, 0.0, 0.0);
#for n in QUADS
  partial_outputs[base#g + 4u * #n] = heads.o#g_#n.a + heads.lift#g;
  partial_outputs[base#g + 4u * #n + 1u] = heads.o#g_#n.b + heads.lift#g;
  partial_outputs[base#g + 4u * #n + 2u] = heads.o#g_#n.c + heads.lift#g;
  partial_outputs[base#g + 4u * #n + 3u] = heads.o#g_#n.d + heads.lift#g;
#end
#end
}
