"""Reads the config.json of a Hugging Face model as an architecture, and says what it took for granted.

A field is used, known to cost nothing, or switched off; anything else is refused by name, for a field that
is not understood may change the count. What a file leaves to its model class is taken from that class as
of transformers 4.57 to 5, and told as an assumption; where the classes' defaults are unclear it is refused.
"""

from optimizer.hugging_face.importer import Imported, import_config, read_config

__all__ = ["Imported", "import_config", "read_config"]
