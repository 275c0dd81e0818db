"""What tests share: makers, fakes and the processes of real jobs."""
