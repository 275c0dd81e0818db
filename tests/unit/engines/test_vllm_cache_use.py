"""How full the KV cache is, as vLLM calls what keeps it. With a real engine: tests/e2e/test_service_ray.py."""

from __future__ import annotations

from types import SimpleNamespace

from grm_plugin.engines.vllm_cache_use import CacheUse


def test_the_last_word_of_vllm_counts() -> None:
    use = CacheUse()
    assert use.share is None
    logger = use(None, 0)
    logger.log_engine_initialized()
    for share in (0.25, 0.5):
        logger.record(SimpleNamespace(kv_cache_usage=share), None, mm_cache_stats=None, engine_idx=0)
        assert use.share == share
    logger.record(None, None, engine_idx=0)  # a step without statistics
    assert use.share == 0.5
