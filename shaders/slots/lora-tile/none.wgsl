// No adapters: nothing to add.
fn lora_tile(token: u32, row: u32, ends: vec2u, local: u32) -> Tile { return Tile(); }
