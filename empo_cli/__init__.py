"""The command line ``empo``, over planner and learners; each verb imports what it needs when it runs."""
