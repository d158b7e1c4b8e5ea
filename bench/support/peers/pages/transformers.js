import { pipeline, TextStreamer } from '@huggingface/transformers';
import { timed } from './timed.js';

let generate;

globalThis.peer = {
  async open() {
    generate = await pipeline('text-generation', 'HuggingFaceTB/SmolLM2-135M-Instruct', {
      device: 'webgpu',
      dtype: 'q4',
    });
    return 'WebGPU';
  },
  answer: (prompt, count) =>
    timed(async () => {
      const parts = [];
      let arrived = () => {};
      const streamer = new TextStreamer(generate.tokenizer, {
        skip_prompt: true,
        callback_function: (text) => {
          parts.push(text);
          arrived();
        },
      });
      let isDone = false;
      const done = generate(prompt, { max_new_tokens: count, do_sample: false, streamer }).finally(() => {
        isDone = true;
        arrived();
      });
      return (async function* () {
        while (!isDone || parts.length > 0) {
          if (parts.length > 0) yield parts.shift();
          else await new Promise((resolve) => (arrived = resolve));
        }
        await done;
      })();
    }),
};
