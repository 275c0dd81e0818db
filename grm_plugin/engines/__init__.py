"""Engines run the models: the GRM, which writes critiques, and the meta RM, which rates them. `build` makes one."""
