"""Cloud Run integrations, which gcloud had until 2024: a Redis instance for a service, connected to it."""
