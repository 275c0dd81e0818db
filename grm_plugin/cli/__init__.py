"""The command line `grm-plugin`: one file per command."""
