// Stored before.
fn store_token(page: vec4u, kv_head: u32, row: u32, offset: u32, id: u32) {}
