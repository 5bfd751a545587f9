"""Makes `samples` importable from every test folder."""
