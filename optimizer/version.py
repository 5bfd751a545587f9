"""The version of archsat."""

VERSION = "0.1.0"
