"""What all offline commands share: labelled items, input lines, resumable output, local engines."""
