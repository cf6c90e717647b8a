echo {{ params.hostname_suffix | q }}
