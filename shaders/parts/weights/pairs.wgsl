// Element 16i + j of a block is bit pair j of word i. Pairs are masked but not shifted down (nibbles.wgsl).
const CODE_STEP = vec4f(1.0, 0.25, 0.0625, 0.015625);

fn pairs4(word: u32) -> vec4f { return vec4f(vec4i(vec4u(word) & vec4u(3u, 12u, 48u, 192u))); }

// Behind the first eight come the others.
fn pairs_behind(words: vec2u) -> vec2u { return vec2u((words.x >> 16u) | (words.y << 16u), words.y >> 16u); }
