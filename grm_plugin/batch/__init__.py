"""What the offline commands share: labelled items, input files, the resumable run and its output, local engines."""
