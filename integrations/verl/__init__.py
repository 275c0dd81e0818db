"""verl: a reward manager (`reward_manager`), which has the samples of a prompt judged together.

It takes the address of a running service (`grm-plugin serve`) from verl's own configuration or from GRM_URL; see
`settings`. Tested with verl 0.9.1.
"""
