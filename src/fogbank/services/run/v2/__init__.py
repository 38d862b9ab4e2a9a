"""Cloud Run's v2 API, which Terraform and the client libraries speak: another view of the same objects."""
