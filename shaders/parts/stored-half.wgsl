// Keys and values as f16; what is larger is the largest.
// needs: half4
fn stored_half(v: vec4f) -> vec2u { return pack_half4(clamp(v, vec4f(-65504.0), vec4f(65504.0))); }
