// What store-kv does for a head of a token, for a workgroup that is the only one to attend to it in this dispatch.
// needs: rotated-value, stored-half
fn store_token(page: vec4u, kv_head: u32, row: u32, offset: u32, id: u32) {
  let source = row + (FIRST_KEY + kv_head) * HEAD_DIM4;
  let value_source = source + NUM_KV_HEADS * HEAD_DIM4;
  let key = half_key_at(page, kv_head, offset);
  let value = half_key_at(page, NUM_KV_HEADS + kv_head, offset);
  for (var i = id; i < HEAD_DIM4; i += WORKGROUP) { parts[i] = qkv[value_source + i]; }
  workgroupBarrier();
  for (var i = id; i < HALF4; i += WORKGROUP) {
    let a = qkv[source + i];
    let b = qkv[source + HALF4 + i];
    let cosine = rope[offset * HEAD_DIM4 + i];
    let sine = rope[offset * HEAD_DIM4 + HALF4 + i];
    kv[key + i] = stored_half(a * cosine - b * sine);
    kv[key + HALF4 + i] = stored_half(a * sine + b * cosine);
    kv[value + i] = stored_half(rotated(0u, i));
    kv[value + HALF4 + i] = stored_half(rotated(0u, HALF4 + i));
  }
  storageBarrier();
}
