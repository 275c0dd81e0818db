"""OpenRLHF: the reward through a URL, a reward function or an agent, and a launcher that sets up any of them.

    --reward.remote_url http://HOST:PORT/get_reward?n=8     a running service, no code of ours in the job
    --reward.remote_url .../reward_func.py                  `reward_func`
    --train.agent_func_path .../agent.py                    `agent`: sees whole groups, training and evaluation alike
    python -m grm_plugin.integrations.openrlhf.train_ppo_ray   starts the service, sets one of the hooks, runs the job

Give one address, never OpenRLHF's list ("http://a/..,http://b/.."): it asks the servers in turn, so that each would
see a part of every group and judge it apart. A service is scaled by `engine.replicas`.

The two files run inside OpenRLHF's rollout actors, loaded by path; `grm_plugin.integrations.environment_variables` says
how they find the GRM. Written against OpenRLHF 0.11.2.
"""
