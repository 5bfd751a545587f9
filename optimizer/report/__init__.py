"""Answers to text and pictures, one file a report; a report formats and computes nothing."""
