// Two columns of a row of the tile, of weights that are halves: a word has both.
alias TileWeight = u32;

fn tile_weight(columns: vec2f) -> TileWeight { return pack2x16float(columns); }

fn both_columns(weight: TileWeight) -> vec2f { return unpack2x16float(weight); }
