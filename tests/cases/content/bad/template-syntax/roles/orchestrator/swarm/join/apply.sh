docker info --format '{{.ID}}'
