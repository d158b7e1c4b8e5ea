// Four halves of the adapter arena.
fn lora_half4(packed: vec2u) -> vec4f { return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y)); }
