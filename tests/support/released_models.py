"""The architectures of the released GRMs: `config.json` as published, the end of their chat format, and smaller sizes.

The keys and values of DeepSeek-V2-Lite (DeepSeek-GRM-16B), Gemma-2-27B-it (DeepSeek-GRM-27B and its meta RM) and
Qwen3-8B (a judge that thinks). The chat templates are written after the published formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BYTE_LEVEL = "byte level"
"""Characters as bytes, each of which has a printable stand-in: the tokenizers of DeepSeek and Qwen."""

BYTE_FALLBACK = "byte fallback"
"""Characters, and bytes for those that are in no vocabulary: the tokenizer of Gemma."""


@dataclass(frozen=True)
class Released:
    """A released model. Token ids in `config` are names of `special` tokens until a tokenizer gives them numbers."""

    config: Mapping[str, Any]
    smaller: Mapping[str, Any]
    """What a tiny model of the same architecture has instead. The sizes that kernels are written for stay.

    Weights are so small that rounding to bfloat16 changes less than a feature does, and caps come into reach of them.
    """
    features: Mapping[str, Mapping[str, Any]]
    """What sets the architecture apart, by name: the change of a tiny model's configuration that undoes it."""
    template: str
    special: tuple[str, ...]
    """Tokens that are left out where a completion is decoded."""
    ends_answers: str
    """The token with which the chat template ends an answer."""
    stops: tuple[str, ...]
    """The tokens at which `generation_config.json` ends a completion."""
    tokenizer: str = BYTE_LEVEL
    shown: tuple[str, ...] = ()
    """Further tokens of their own, which stay in the text of a completion."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """For random weights by the end of their name, where a feature would not show at their usual size."""
    added: Mapping[str, float] = field(default_factory=dict)
    """To random weights by the end of their name."""


DEEPSEEK_END = "<｜end▁of▁sentence｜>"
DEEPSEEK_V2 = Released(
    config={
        "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "dtype": "bfloat16",
        "attention_bias": False, "attention_dropout": 0.0, "aux_loss_alpha": 0.001, "first_k_dense_replace": 1,
        "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 10944,
        "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_intermediate_size": 1408, "moe_layer_freq": 1,
        "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": False, "num_attention_heads": 16,
        "num_experts_per_tok": 6, "num_hidden_layers": 27, "num_key_value_heads": 16, "q_lora_rank": None,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000,
        "rope_scaling": {
            "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
            "mscale": 0.707, "mscale_all_dim": 0.707,
        },
        "routed_scaling_factor": 1.0, "scoring_func": "softmax", "seq_aux": True, "tie_word_embeddings": False,
        "topk_group": 1, "topk_method": "greedy", "use_cache": True, "v_head_dim": 128, "vocab_size": 102400,
        "bos_token_id": "<｜begin▁of▁sentence｜>", "eos_token_id": DEEPSEEK_END,
    },
    smaller={
        "hidden_size": 256, "intermediate_size": 512, "moe_intermediate_size": 128, "n_routed_experts": 16,
        "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 3, "initializer_range": 0.06,
    },
    features={
        "yarn": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000}},
        "six experts for a token": {"num_experts_per_tok": 3},
        "the weight of the routed experts": {"routed_scaling_factor": 1.2},
    },
    template=(
        "{{ bos_token }}{% for message in messages %}"
        "{% if message.role == 'system' %}{{ message.content + '\n\n' }}"
        "{% elif message.role == 'user' %}{{ 'User: ' + message.content + '\n\n' }}"
        "{% else %}{{ 'Assistant: ' + message.content + eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
    ),
    special=("<｜begin▁of▁sentence｜>", DEEPSEEK_END),
    ends_answers=DEEPSEEK_END,
    stops=(DEEPSEEK_END,),
    factors={"experts.down_proj": 8.0},
)  # fmt: skip

GEMMA_CONFIG: Mapping[str, Any] = {
    "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "dtype": "bfloat16", "attention_bias": False,
    "attention_dropout": 0.0, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "head_dim": 128,
    "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 4608,
    "initializer_range": 0.02, "intermediate_size": 36864, "max_position_embeddings": 8192, "num_attention_heads": 32,
    "num_hidden_layers": 46, "num_key_value_heads": 16, "query_pre_attn_scalar": 144, "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0, "sliding_window": 4096, "use_cache": True, "vocab_size": 256000,
    "bos_token_id": "<bos>", "eos_token_id": "<eos>", "pad_token_id": "<pad>",
}  # fmt: skip
GEMMA_SMALLER: Mapping[str, Any] = {
    "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_hidden_layers": 4, "sliding_window": 64, "initializer_range": 0.06, "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 2.0,
}  # fmt: skip
GEMMA_FEATURES: Mapping[str, Mapping[str, Any]] = {
    "the cap of attention": {"attn_logit_softcapping": None},
    "the sliding window": {"sliding_window": 4096},
    "the scale of the query": {"query_pre_attn_scalar": 64},
}
GEMMA_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>")
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ raise_exception('there is no system role') }}{% endif %}"
    "{% set role = 'model' if message.role == 'assistant' else message.role %}"
    "{{ '<start_of_turn>' + role + '\n' + message.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
GEMMA_FACTORS = {"q_proj.weight": 1.5}

GEMMA_ADDED = {"post_attention_layernorm.weight": 2.0, "post_feedforward_layernorm.weight": 2.0}
"""Else a model whose output layer is its embedding repeats its last token."""

GEMMA_2 = Released(
    config=GEMMA_CONFIG,
    smaller=GEMMA_SMALLER,
    features={**GEMMA_FEATURES, "the cap of the logits": {"final_logit_softcapping": None}},
    template=GEMMA_TEMPLATE,
    special=GEMMA_SPECIAL,
    ends_answers="<end_of_turn>",
    stops=("<eos>",),  # as first published: a critique would never end
    tokenizer=BYTE_FALLBACK,
    factors=GEMMA_FACTORS,
    added=GEMMA_ADDED,
)

GEMMA_2_META_RM = Released(
    config={**GEMMA_CONFIG, "architectures": ["Gemma2ForSequenceClassification"], "num_labels": 1},
    smaller=GEMMA_SMALLER,
    features=GEMMA_FEATURES,
    template=GEMMA_TEMPLATE,
    special=GEMMA_SPECIAL,
    ends_answers="<end_of_turn>",
    stops=("<eos>",),
    tokenizer=BYTE_FALLBACK,
    factors={**GEMMA_FACTORS, "score.weight": 10.0},
    added=GEMMA_ADDED,
)

QWEN_END = "<|im_end|>"
QWEN_3 = Released(
    config={
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "dtype": "bfloat16", "attention_bias": False,
        "attention_dropout": 0.0, "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
        "intermediate_size": 12288, "max_position_embeddings": 40960, "max_window_layers": 36,
        "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": False,
        "use_cache": True, "use_sliding_window": False, "vocab_size": 151936,
        "bos_token_id": "<|endoftext|>", "eos_token_id": QWEN_END,
    },
    smaller={
        "hidden_size": 256, "intermediate_size": 512, "max_window_layers": 2, "num_attention_heads": 4,
        "num_hidden_layers": 2, "num_key_value_heads": 2, "initializer_range": 0.1,
    },
    features={"the base of the rotation": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000}}},
    template=(
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message.role + '\n' + message.content.split('</think>')[-1].lstrip() + '<|im_end|>\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
        "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        "{% endif %}"
    ),
    special=("<|endoftext|>", "<|im_start|>", QWEN_END),
    shown=("<think>", "</think>"),
    ends_answers=QWEN_END,
    stops=(QWEN_END, "<|endoftext|>"),
)  # fmt: skip

RELEASED = {
    "deepseek_v2": DEEPSEEK_V2,
    "gemma_2": GEMMA_2,
    "gemma_2_meta_rm": GEMMA_2_META_RM,
    "qwen_3": QWEN_3,
}
