"""What is shown of a report: tables on a terminal, pictures, and files for papers and leaderboards."""
