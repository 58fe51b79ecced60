"""Reporting: daily reports of payments and clearing, kept in files or object storage."""
