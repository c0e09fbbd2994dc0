"""How a job is run: files, keys and the store, records, the fingerprint, signals, progress, devices."""
