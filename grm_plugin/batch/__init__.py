"""What the offline commands share: labelled items, input files, the resumable run, its output, engines, statistics."""
