// f16 with shader-f16.
fn half4(packed: vec2u) -> vec4f { return vec4f(bitcast<vec4<f16>>(packed)); }

fn pack_half4(v: vec4f) -> vec2u { return bitcast<vec2u>(vec4<f16>(v)); }
