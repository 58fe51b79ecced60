"""The services of the platform: one package each, built alike (api, model, service, schemas)."""
