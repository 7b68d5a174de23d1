"""What several examples share: settings of a trial run, and figures and scores that only they need."""
