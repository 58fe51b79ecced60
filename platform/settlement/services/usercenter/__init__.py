"""Accounts: captcha, registration, login, profile."""
