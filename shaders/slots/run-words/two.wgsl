// How many words of scales are read at once.
alias RunScales = vec2u;
const RUN_WORDS = 2u;
