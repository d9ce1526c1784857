"""Outputs: one file each. They know neither protocols nor policy, and print a secret only when told to reveal."""
