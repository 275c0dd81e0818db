"""What `bench_reward_path.py` is made of: texts, simulated engines, the callers of a path, and the measuring."""
