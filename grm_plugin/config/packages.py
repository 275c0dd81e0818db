"""Which optional packages a configuration needs."""

from __future__ import annotations

import os

from grm_plugin._util.packages import require
from grm_plugin.config.engines import VLLMConfig
from grm_plugin.config.sections import Config


def check_packages(config: Config, *, on_ray: bool = False) -> None:
    """Check that what will run this configuration is installed here.

    Args:
        config: the configuration.
        on_ray: whether it is served on Ray. The nodes of a cluster that runs already have their own packages; else the
            models are loaded on this machine.

    Raises:
        ConfigError: a package is missing.
    """
    if on_ray:
        require("ray", what="a service with models of its own")
    for section, model in {"engine": config.engine, "meta_rm": config.meta_rm}.items():
        if isinstance(model, VLLMConfig) and not (on_ray and os.environ.get("RAY_ADDRESS")):
            require("vllm", "transformers", what=f"{section}.type vllm")
    if config.conversation.format == "tokenizer":
        require("transformers", what="conversation.format tokenizer")
