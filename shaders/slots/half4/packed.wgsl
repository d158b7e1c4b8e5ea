// f16 without shader-f16.
fn half4(packed: vec2u) -> vec4f { return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y)); }

fn pack_half4(v: vec4f) -> vec2u { return vec2u(pack2x16float(v.xy), pack2x16float(v.zw)); }
