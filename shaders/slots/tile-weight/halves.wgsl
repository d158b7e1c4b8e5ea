// Weights of a tile as f16: half the workgroup's memory, and half of what products read of it.
// needs: half4
alias TileWeight = vec2u;

fn to_tile(values: vec4f) -> TileWeight { return pack_half4(values); }

fn from_tile(values: TileWeight) -> vec4f { return half4(values); }
