// No adapters: nothing to add.
fn lora_add(token: u32, row: u32, lane: u32, lanes: u32) -> vec4f { return vec4f(); }
