#!/usr/bin/env python3
"""Makes the tokenizers and chat templates of `tests/fixtures/tokenizers/`, and what transformers makes of texts and
conversations with them: one byte-level, one of SentencePiece's kind with a blank before each text and one without, one
of words. Nothing is downloaded.

    python make_tokenizers.py OUT_DIR
"""

import json
import shutil
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "the card has not arrived and the bank does not answer",
    "where is my card? it was sent on Monday, was it not?",
    "a new line\nfollows here, and 12 numbers: 1234 5678",
    "caf\u00e9 \u00fcber stra\u00dfe na\u00efve \u4f60\u597d",
]
TEXTS = CORPUS + [
    "  two blanks before, and a tab\tinside  ",
    "emoji \U0001f600 and a family \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "<|end|> is a special token, [SEP] too, </s> as well",
    "I'LL say UPPER and lower",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "a",
    " ",
]

# Each template uses other means of the language; their wording is our own.
BLOCKS = """{%- if messages[0].role == 'system' %}
    {{- '<|begin|>system\\n' + messages[0].content + '<|end|>\\n' }}
{%- endif %}
{%- set last = namespace(user=-1) %}
{%- for message in messages[::-1] %}
    {%- if last.user == -1 and message.role == 'user' %}
        {%- set last.user = messages|length - 1 - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set text = message.content %}
    {%- if message.role == 'assistant' %}
        {%- if '</think>' in text %}
            {%- set text = text.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|begin|>' + message.role + '\\n' + text + '<|end|>\\n' }}
    {%- elif message.role == 'user' or not loop.first %}
        {{- '<|begin|>' + message.role + '\\n' + text.strip() + '<|end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|begin|>assistant\\n' }}
{%- endif %}
"""
TAGGED = """{% for message in messages %}
    {% if message['role'] == 'user' %}
{{ '<|begin|>' + message['role'] }}
{{ message['content'] | trim }}<|end|>
    {% elif message['role'] == 'assistant' %}
<|begin|>assistant
        {%- generation %}
{{ message['content'] | trim }}<|end|>
        {%- endgeneration %}

    {% else %}
{{ '<|begin|>' ~ message['role'] ~ ' ' ~ (message | tojson) }}<|end|>
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
<|begin|>assistant
{% endif %}"""
TURNS = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set opening = messages[0]['content'] | trim + '\\n\\n' %}{% else %}{% set rest = messages %}{% set opening = '' %}{% endif %}{% for message in rest %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must take turns') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + (opening if loop.first else '') + message['content'] | trim + ' [/INST]' }}{% else %}{{ ' ' + message['content'] | trim + eos_token }}{% endif %}{% endfor %}"""

TALKS = [
    [("user", "where is my card?")],
    [("user", "  where is it? "), ("assistant", "it was sent on Monday")],
    [("system", "be brief"), ("user", "caf\u00e9?"), ("assistant", "no"), ("user", "why \"not\"?"), ("assistant", "12 numbers\n")],
]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(r"\p{N}{1,3}| ?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    special = ["<|pad|>", "<|begin|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    # A token of its own that is not special: it stands for its text.
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    return tokenizer, dict(pad_token="<|pad|>", eos_token="<|end|>")


def pieces(blank_first):
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    alphabet = sorted(set("".join(CORPUS).replace(" ", "\u2581").replace("\n", "")) - set("\u4f60\u597d"))
    base = Tokenizer(models.BPE())
    base.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=110, initial_alphabet=alphabet, show_progress=False)
    base.train_from_iterator([text.replace("\n", " ") for text in CORPUS[:3]], trainer)
    learned = json.loads(base.to_str())["model"]
    vocab = {token: i for i, token in enumerate(special + [f"<0x{byte:02X}>" for byte in range(256)])}
    for token in learned["vocab"]:
        vocab.setdefault(token, len(vocab))
    merges = [tuple(merge) for merge in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    replace = normalizers.Replace(" ", "\u2581")
    undo = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    if blank_first:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), replace])
        tokenizer.decoder = decoders.Sequence(undo + [decoders.Strip(" ", 1, 0)])
    else:
        tokenizer.normalizer = replace
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence(undo)
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer, dict(pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def words():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=160, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    return tokenizer, dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


def make(out, name, made, template):
    tokenizer, special = made
    out = out / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    settings = dict(special)
    if template:
        if name == "bytes":
            (out / "chat_template.jinja").write_text(template)
        elif name == "tagged":
            settings["chat_template"] = [dict(name="tools", template="no"), dict(name="default", template=template)]
        else:
            settings["chat_template"] = template
    settings = {k: dict(content=v, lstrip=False) if k == "eos_token" else v for k, v in settings.items()}
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **special)
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.encode_special_tokens = True
    texts = []
    for text in TEXTS:
        ids = plain.encode(text, add_special_tokens=False).ids
        whole = plain.encode(text).ids
        texts.append(dict(text=text, ids=ids, whole=whole, decoded=tokenizer.decode(ids)))
    talks = []
    for talk in TALKS if template else []:
        messages = [dict(role=role, content=content) for role, content in talk]
        prompting = messages[-1]["role"] == "user"
        text = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompting)
        ids = fast.apply_chat_template(messages, add_generation_prompt=prompting, return_dict=False)
        found = dict(messages=messages, text=text, ids=ids)
        if "{%- generation %}" in template and not prompting:
            both = fast.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
            found["mask"] = both["assistant_masks"]
        talks.append(found)
    (out / "expected.json").write_text(json.dumps(dict(texts=texts, talks=talks)) + "\n")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    make(folder, "bytes", byte_level(), BLOCKS)
    make(folder, "tagged", byte_level(), TAGGED)
    make(folder, "pieces", pieces(False), TURNS)
    make(folder, "pieces_blank_first", pieces(True), TURNS)
    make(folder, "words", words(), None)
