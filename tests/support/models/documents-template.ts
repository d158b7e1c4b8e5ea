/** A chat template that shows documents before the messages. */
export const DOCUMENTS_TEMPLATE =
  '{% if documents %}{% for d in documents %}[{{ d.doc_id }}] {{ d.text }}\n{% endfor %}{% endif %}' +
  '{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<answer>{% endif %}';
