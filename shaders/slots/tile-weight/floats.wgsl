// Weights of a tile as they are, where f16 would not hold them.
alias TileWeight = vec4f;

fn to_tile(values: vec4f) -> TileWeight { return values; }

fn from_tile(values: TileWeight) -> vec4f { return values; }
