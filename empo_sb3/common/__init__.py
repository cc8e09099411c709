"""What several learners need: ranges of arguments, encoders, saved models, the clock of a run, classes by name."""
