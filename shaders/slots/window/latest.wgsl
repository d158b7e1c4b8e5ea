// Tokens attend to the latest WINDOW, themselves among them. Pages lie one behind another: a page's base tells its place.
fn first_position_of(position: u32) -> u32 { return max(position, WINDOW - 1u) - (WINDOW - 1u); }

// Where the first page stands of which a token sees something.
fn first_page_of(position: u32) -> u32 { return first_position_of(position) / PAGE_TOKENS; }

// The first key that it sees, of a page of which it sees some.
fn first_key_of(position: u32, base: u32) -> u32 { return max(first_position_of(position), base) - base; }

// Whether queries at these positions see a key that is not behind them.
fn are_near(position: u32, queries: vec4i) -> vec4<bool> { return queries - i32(position) < vec4i(i32(WINDOW)); }
