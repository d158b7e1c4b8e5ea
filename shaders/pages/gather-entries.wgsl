// Collects entries of a head from pages of any forms into pages in f16, from which quantize-page makes sparse ones. One
// invocation a (page, head, entry, i) for the vectors i and HALF4 + i. Keys are rotated by their offset within their page: a
// page with another base rotates them again.
// needs: half4, stored-half, page-layout, page-units

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) id: u32) {
  let i = group.x * WORKGROUP + id;
  if (i >= HALF4) { return; }
  let j = group.y % PAGE_TOKENS;
  let kv_head = group.y / PAGE_TOKENS;
  let task = group.z;
  let base = page_of_head(tasks[2u * task + 1u], kv_head).z;
  let into = tasks[2u * task];
  // Which page of the table, and which of its entries.
  let source = sources[(task * NUM_KV_HEADS + kv_head) * PAGE_TOKENS + j];
  let page = page_of_head(pages[source / PAGE_TOKENS], kv_head);
  let entry = source % PAGE_TOKENS;
  let is_later = page.z >= base;
  let angle = select(base - page.z, page.z - base, is_later) * HEAD_DIM4 + i;
  let cosine = rope[angle];
  let sine = rope[angle + HALF4] * select(-1.0, 1.0, is_later);
  let a = key_vector(page, kv_head, entry, i, 0u);
  let b = key_vector(page, kv_head, entry, i, 1u);
  let key = half_key_at(into, kv_head, j) + i;
  let value = half_key_at(into, NUM_KV_HEADS + kv_head, j) + i;
  kv[key] = stored_half(a * cosine - b * sine);
  kv[key + HALF4] = stored_half(a * sine + b * cosine);
  kv[value] = stored_half(value_vector(page, kv_head, entry, i));
  kv[value + HALF4] = stored_half(value_vector(page, kv_head, entry, HALF4 + i));
}
