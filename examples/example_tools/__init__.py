"""Code that examples share: settings of a quick run, and figures and scores that only examples need."""
