/** Short chat templates with tools, in the formats of five model families. */

/** After Qwen2.5's and Hermes 2 Pro's. */
export const HERMES = `{%- if tools %}
{{- '<|im_start|>system\\n' }}
{{- "Tools, in <tools></tools>, as JSON signatures:\\n<tools>" }}
{%- for tool in tools %}
{{- "\\n" }}{{- tool | tojson }}
{%- endfor %}
{{- "\\n</tools>\\nCall with {\\"name\\": <name>, \\"arguments\\": <object>} within <tool_call></tool_call>.<|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == "assistant" and message.tool_calls %}
{{- '<|im_start|>assistant' }}
{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
{%- for tool_call in message.tool_calls %}
{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
{{- '\\n<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == "tool" %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}`;

/** After Llama 3.1's. */
export const LLAMA = `{{- bos_token }}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if tools is not none %}
{{- 'Respond with {"name": function name, "parameters": dictionary of argument name and its value}.\\n' }}
{%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
{%- endif %}
{%- for message in messages %}
{%- if 'tool_calls' in message %}
{%- if message.tool_calls|length != 1 %}{{- raise_exception("This model only supports single tool-calls at once!") }}{%- endif %}
{%- set tool_call = message.tool_calls[0].function %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n{"name": "' + tool_call.name + '", "parameters": ' }}
{{- tool_call.arguments | tojson }}{{- "}<|eot_id|>" }}
{%- elif message.role == "tool" %}
{{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}{{- message.content | tojson }}{{- "<|eot_id|>" }}
{%- else %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}`;

/** After Mistral 7B Instruct v0.3's. */
export const MISTRAL = `{{- bos_token }}
{%- for message in messages %}
{%- if message.role == "user" %}
{%- if tools is defined and tools is not none and loop.last %}{{- "[AVAILABLE_TOOLS] " + tools | tojson + "[/AVAILABLE_TOOLS]" }}{%- endif %}
{{- "[INST] " + message.content + "[/INST]" }}
{%- elif message.tool_calls is defined and message.tool_calls is not none %}
{{- "[TOOL_CALLS] [" }}
{%- for tool_call in message.tool_calls %}
{%- set out = tool_call.function | tojson %}
{{- out[:-1] }}
{%- if not tool_call.id is defined or tool_call.id | length != 9 %}{{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}{%- endif %}
{{- ', "id": "' + tool_call.id + '"}' }}
{%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
{%- endfor %}
{%- elif message.role == "tool" %}
{{- '[TOOL_RESULTS] {"content": ' + message.content | string + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
{%- else %}
{{- " " + message.content + eos_token }}
{%- endif %}
{%- endfor %}`;

/** After LFM2.5's: tools are listed, and calls appear only as the assistant's text. */
export const LFM2 = `{{- bos_token -}}
{%- set ns = namespace(system="") -%}
{%- if messages[0].role == "system" -%}{%- set ns.system = messages[0].content -%}{%- set messages = messages[1:] -%}{%- endif -%}
{%- if tools -%}
{%- set ns.system = ns.system + ("\\n" if ns.system else "") + "List of tools: [" -%}
{%- for tool in tools -%}{%- set ns.system = ns.system + (tool | tojson) + ("" if loop.last else ", ") -%}{%- endfor -%}
{%- set ns.system = ns.system + "]" -%}
{%- endif -%}
{%- if ns.system -%}{{- "<|im_start|>system\\n" + ns.system + "<|im_end|>\\n" -}}{%- endif -%}
{%- for message in messages -%}{{- "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" -}}{%- endif -%}`;

/** After Gemma 4's: tool results belong to the turn of the call, which continues after them. */
export const GEMMA4 = `{%- macro value(it) -%}
{%- if it is string -%}{{- '<|"|>' + it + '<|"|>' -}}
{%- elif it is boolean -%}{{- 'true' if it else 'false' -}}
{%- elif it is mapping -%}{{- '{' -}}{%- for key, inner in it | dictsort -%}{{- key -}}:{{- value(inner) -}}{{- '' if loop.last else ',' -}}{%- endfor -%}{{- '}' -}}
{%- else -%}{{- it -}}{%- endif -%}
{%- endmacro -%}
{{- bos_token -}}
{%- if tools -%}{{- '<|turn>system\\n' -}}
{%- for tool in tools -%}{{- '<|tool>declaration:' + tool['function']['name'] + value(tool['function']['parameters']) + '<tool|>' -}}{%- endfor -%}
{{- '<turn|>\\n' -}}{%- endif -%}
{%- for message in messages -%}
{{- '<|turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' -}}
{%- for call in message['tool_calls'] or [] -%}{{- '<|tool_call>call:' + call['function']['name'] + value(call['function']['arguments']) + '<tool_call|>' -}}{%- endfor -%}
{%- for given in message['tool_responses'] or [] -%}
{{- '<|tool_response>response:' + given['name'] + value(given['response'] if given['response'] is mapping else { 'value': given['response'] }) + '<tool_response|>' -}}
{%- endfor -%}
{{- message['content'] -}}
{%- if not message['tool_responses'] or message['content'] -%}{{- '<turn|>\\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and not messages[-1]['tool_responses'] -%}{{- '<|turn>model\\n' -}}{%- endif -%}`;
