// Two columns of a row of the tile.
alias TileWeight = vec2f;

fn tile_weight(columns: vec2f) -> TileWeight { return columns; }

fn both_columns(weight: TileWeight) -> vec2f { return weight; }
